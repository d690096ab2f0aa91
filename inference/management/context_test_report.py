"""Prints context tests: how far they are, a table at the end, or JSON."""

from __future__ import annotations

import contextlib
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TaskProgressColumn
from rich.progress import TextColumn as Column
from rich.table import Table
from rich.text import Text

from llm_manager.lib.quoting import printable
from llm_manager.lib.units import human_bytes
from registry.models import SEQUENCES, ContextMeasurement, ContextTest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.progress import Task

    from inference.context_test.runner import ContextTestProgress

    #: Called with a test, its number from 1, the number of all, and how far it is.
    OnProgress = Callable[[ContextTest, int, int, ContextTestProgress], None]

_COLOURS = {
    ContextTest.State.DONE: "green",
    ContextTest.State.STOPPED: "yellow",
    ContextTest.State.FAILED: "red",
}


class _TimeLeft(ProgressColumn):
    """The seconds that a test still takes, as it projects them."""

    def render(self, task: Task) -> Text:
        left = task.fields["left"]
        if left is None:
            return Text("-:--:--", style="progress.remaining")
        return Text(str(timedelta(seconds=round(left))), style="progress.remaining")


@contextlib.contextmanager
def context_test_progress(*, is_shown: bool) -> Iterator[OnProgress]:
    """Yield a function that updates a progress bar on a terminal."""
    if not is_shown or not sys.stderr.isatty():
        yield lambda _test, _number, _total, _progress: None
        return
    columns = (
        Column("Testing"),
        BarColumn(),
        TaskProgressColumn(),
        _TimeLeft(),
        Column("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0, left=None)

        def show(
            test: ContextTest, number: int, total: int, progress: ContextTestProgress
        ) -> None:
            bar.update(
                task,
                completed=(number - 1 + progress.share) / total,
                left=progress.seconds_left,
                description=f"{number}/{total} {printable(str(test))}: "
                f"{progress.doing}",
            )

        yield show


def print_context_tests(
    tests: Sequence[tuple[ContextTest, int]], console: Console
) -> None:
    """Print a line for each test, which has the number of contexts measured now."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    table.add_column("Model", overflow="fold")
    table.add_column("KV")
    table.add_column("Tested", justify="right")
    for n in SEQUENCES:
        table.add_column(f"For {n}", justify="right")
    table.add_column("Memory", justify="right")
    table.add_column("Prefill/s", justify="right")
    table.add_column("Decode/s", justify="right")
    table.add_column("Answers")
    table.add_column("Remark", overflow="fold")
    for test, num_measured in tests:
        largest = _largest(test)
        table.add_row(
            Text(test.state, style=_COLOURS.get(ContextTest.State(test.state), "")),
            Text(printable(test.model.name)),
            test.kv_type,
            _count(test.tested_ctx),
            *(_count(test.recommended_for(n)) for n in SEQUENCES),
            " + ".join(map(human_bytes, largest.memory)) if largest else "-",
            _speed(largest, "prefill"),
            _speed(largest, "decode"),
            test.answers,
            Text(printable(_remark(test, num_measured))),
        )
    console.print(table)


def context_test_json(test: ContextTest, num_measured: int) -> dict[str, Any]:
    """Return a test with its measurements as JSON values.

    ``num_measured`` is how many of them were made now; the others are of an earlier
    test of the same.
    """
    return {
        "model": test.model.name,
        "cache_type_k": test.cache_type_k,
        "cache_type_v": test.cache_type_v,
        "state": test.state,
        "reason": test.reason,
        "measured_now": num_measured,
        "tested": test.tested_ctx,
        "failed": test.failed_ctx,
        "sane": test.sane_ctx,
        "recommended": test.recommended,
        "fingerprint": test.fingerprint,
        "hardware": test.hardware,
        "versions": test.versions,
        "settings": test.settings,
        "measurements": [_measurement(row) for row in test.measurements.all()],
    }


def _measurement(row: ContextMeasurement) -> dict[str, Any]:
    return {
        "n_ctx": row.n_ctx,
        "outcome": row.outcome,
        "reason": row.reason,
        "memory": row.memory,
        "estimate": row.estimate,
        "load_seconds": row.load_seconds,
        "speeds": row.speeds,
        "knows_fact": row.knows_fact,
        "knows_control": row.knows_control,
        "was_beside": row.was_beside,
    }


def _largest(test: ContextTest) -> ContextMeasurement | None:
    return test.measurements.filter(n_ctx=test.tested_ctx or 0).first()


def _speed(row: ContextMeasurement | None, name: str) -> str:
    """Return a speed at the end of the context."""
    return f"{row.speeds[-1][name]:,.1f}" if row else "-"


def _count(number: int | None) -> str:
    return f"{number:,}" if number else "-"


def _remark(test: ContextTest, num_measured: int) -> str:
    if not num_measured and test.state == ContextTest.State.DONE:
        return "already tested"
    if test.reason:
        return test.reason.replace("\n", " ")
    if test.failed_ctx:
        row = test.measurements.filter(n_ctx=test.failed_ctx).first()
        reason = row.reason.replace("\n", " ") if row else ""
        return f"{test.failed_ctx:,} failed: {reason}"
    return ""
