"""How fast a model is, on its page: measure, progress, cancel, results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages

from inference.admin.model_actions import ActionOutcome
from inference.admin.model_panels.settings_text import settings_text
from inference.benchmark import journal
from inference.engine_messages import engine_wake
from inference.models import Benchmark, EngineNode
from llm_manager.lib.plots import plot

if TYPE_CHECKING:
    from registry.models import Model

_SHOWN = 5
#: So many of the last results are lines of the chart.
_DRAWN = 3


def request_benchmark(model: Model, *, by: str) -> ActionOutcome:
    """Request that the speed of a model is measured."""
    if not model.is_generative or model.why_not_served:
        why = f": {model.why_not_served or 'it does not generate text.'}"
        return ActionOutcome(messages.ERROR, "Cannot measure ", model.name, why)
    _, is_new = journal.benchmark_request(model=model, by=by)
    engine_wake()
    if not is_new:
        return ActionOutcome(messages.INFO, "Being measured already: ", model.name)
    entry = "Asked the engine to measure its speed."
    if not EngineNode.objects.alive().exists():
        before = "No engine is running. The next one that starts will measure "
        return ActionOutcome(messages.WARNING, before, model.name, log_entry=entry)
    before = "The engine was asked to measure "
    return ActionOutcome(messages.SUCCESS, before, model.name, log_entry=entry)


def cancel_benchmark(benchmark: Benchmark, *, by: str) -> ActionOutcome:
    """Cancel a benchmark."""
    name = benchmark.model.name
    if not journal.benchmark_cancel(benchmark, by=by):
        return ActionOutcome(messages.INFO, "Not being measured: ", name)
    entry = "Cancelled the measurement of its speed."
    before = "Cancelled the measurement of "
    return ActionOutcome(messages.SUCCESS, before, name, log_entry=entry)


def speed_panel(model: Model) -> dict[str, Any]:
    """Return what the page shows of a model's benchmarks. One query."""
    rows = list(model.benchmarks.all())
    done = [each for each in rows if each.state == Benchmark.State.DONE]
    ended = [each for each in rows if each.reason and not each.is_open]
    return {
        "benchmark": next((each for each in rows if each.is_open), None),
        "benchmarks": [_summary(each) for each in done[:_SHOWN]],
        "benchmark_failure": ended[0] if ended and ended[0] is rows[0] else None,
        "speed_plot": _plot(done[:_DRAWN]),
    }


def _summary(benchmark: Benchmark) -> dict[str, Any]:
    text = settings_text(
        benchmark.settings, n_ctx=benchmark.n_ctx, n_seq_max=benchmark.n_seq_max
    )
    if benchmark.replicas > 1:
        text += f", {benchmark.replicas} replicas"
    return {"row": benchmark, "settings": text, **benchmark.results}


def _plot(done: list[Benchmark]) -> Any:
    """Return a chart of tokens a second by streams, a line for each benchmark."""
    if not done:
        return None
    lines = {
        f"{each.finished_at:%Y-%m-%d %H:%M}": [
            (point["streams"], point["tokens_per_second"])
            for point in each.results["streams"]
        ]
        for each in done
    }
    title = "Tokens/s by answers at once"
    return plot(title, lines, lambda value: f"{value:,.0f}", unit="at once")
