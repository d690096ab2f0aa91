"""Context tests on a model's page: request, progress, cancel, results, "use this"."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError

from inference.admin.model_actions import ActionOutcome
from inference.context_test import journal
from inference.context_test.selection import QUANTIZED, kv_types_of
from inference.engine_messages import engine_wake
from inference.models import EngineNode
from llm_manager.lib.plots import plot
from llm_manager.lib.units import human_bytes
from registry.models import SEQUENCES, ContextMeasurement, ContextTest, Model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from inference.context_test.selection import KvTypes

_PASSED = ContextMeasurement.Outcome.PASSED
_MIB = 2**20
#: What bounds a recommendation, in words.
_BOUNDS = {
    "tested": "largest that passed",
    "answers": "bound by sane answers",
    "memory": "bound by memory",
    "kv_memory_mb": "bound by KV memory",
    "request_timeout": "bound by the request timeout",
}


class ContextTestForm(forms.Form):
    """What to measure. Empty bounds: the smallest useful and the trained context."""

    with_quantized = forms.BooleanField(required=False)
    max_ctx = forms.IntegerField(required=False, min_value=256)
    budget_minutes = forms.FloatField(required=False, min_value=0.1)


def request_tests(
    model: Model,
    *,
    by: str,
    with_quantized: bool = False,
    max_ctx: int | None = None,
    budget_minutes: float | None = None,
) -> ActionOutcome:
    """Request tests of a model from the engines."""
    if not model.is_generative:
        why = ": it does not generate text."
        return ActionOutcome(messages.ERROR, "Cannot test ", model.name, why)
    try:
        types = kv_types_of(model, with_quantized=with_quantized)
    except ValueError as error:
        return ActionOutcome(messages.ERROR, "Cannot test ", model.name, f": {error}")
    new = [kv for kv in types if _request(model, kv, by, max_ctx, budget_minutes)]
    engine_wake()
    if not new:
        before = "A test was requested already of "
        return ActionOutcome(messages.INFO, before, model.name)
    log_entry = f"Requested {len(new)} context test{'' if len(new) == 1 else 's'}."
    if not EngineNode.objects.alive().exists():
        before = "No engine is running. The next one that starts will test "
        return ActionOutcome(messages.WARNING, before, model.name, log_entry=log_entry)
    before = "The engine was asked to test "
    return ActionOutcome(messages.SUCCESS, before, model.name, log_entry=log_entry)


def _request(
    model: Model, kv: KvTypes, by: str, max_ctx: int | None, minutes: float | None
) -> bool:
    _, is_new = journal.context_test_request(
        model=model,
        cache_type_k=kv[0],
        cache_type_v=kv[1],
        requested_by=by,
        max_ctx=max_ctx,
        budget_minutes=minutes,
    )
    return is_new


def cancel_test(test: ContextTest, *, by: str) -> ActionOutcome:
    """Cancel a test; what it has measured stays."""
    if not journal.context_test_cancel(test, by=by):
        return ActionOutcome(messages.INFO, "Not running: a test of ", test.model.name)
    entry = f"Cancelled the context test with KV {test.kv_type}."
    return ActionOutcome(
        messages.SUCCESS, "Cancelled a test of ", test.model.name, log_entry=entry
    )


def forget_test(test: ContextTest) -> ActionOutcome:
    """Delete a test that has ended; loads no longer use its results."""
    if test.is_open:
        return ActionOutcome(messages.ERROR, "Still running: a test of ", str(test))
    entry = f"Deleted the context test with KV {test.kv_type}."
    test.delete()
    return ActionOutcome(
        messages.SUCCESS, "Deleted a test of ", test.model.name, log_entry=entry
    )


def use_result(test: ContextTest, n_sequences: int) -> ActionOutcome:
    """Give a model the settings that a test recommends for so many sequences."""
    model = test.model
    n_ctx = test.recommended_for(n_sequences)
    if n_ctx is None:
        why = f": nothing is recommended for {n_sequences} sequences."
        return ActionOutcome(messages.ERROR, "Cannot change ", model.name, why)
    chosen: dict[str, Any] = {
        "n_ctx": n_ctx,
        "n_seq_max": n_sequences,
        "cache_type_k": test.cache_type_k,
        "cache_type_v": test.cache_type_v,
    }
    for name, value in chosen.items():
        setattr(model, name, value)
    try:
        model.clean()
    except ValidationError as error:
        why = ": " + " ".join(error.messages)
        return ActionOutcome(messages.ERROR, "Cannot change ", model.name, why)
    model.save(update_fields=list(chosen))
    return ActionOutcome(
        messages.SUCCESS,
        f"{n_ctx:,} tokens for {n_sequences} with KV {test.kv_type} are set for ",
        model.name,
        ". A loaded model has them after it is loaded again.",
        log_entry=f"Set the context {n_ctx} for {n_sequences} sequences, "
        f"KV {test.kv_type}, from a context test.",
    )


# The panel ------------------------------------------------------------------------


def panel(model: Model) -> dict[str, Any]:
    """Return what the page shows of a model's tests, for its template."""
    tests = list(model.context_tests.prefetch_related("measurements"))
    results = [test for test in tests if test.measurements.all()]
    results.sort(key=lambda test: test.kv_type)
    newest = _newest(model, results)
    return {
        "sequences": SEQUENCES,
        "quantized": ", ".join(QUANTIZED),
        "open_tests": [
            (test, time_left(test.seconds_left)) for test in tests if test.is_open
        ],
        "ended_tests": [test for test in tests if not test.is_open and test.reason],
        "results": [_result(model, test) for test in results],
        "plots": _plots(newest),
    }


def time_left(seconds: float | None) -> str:
    """Return a time as ``0:01:30 left``, or "" if it is unknown."""
    return "" if seconds is None else f"{timedelta(seconds=round(seconds))} left"


def _newest(model: Model, tests: Iterable[ContextTest]) -> dict[str, ContextTest]:
    """Return the newest test of the file as it is now, by KV type."""
    found: dict[str, ContextTest] = {}
    for test in sorted(tests, key=lambda test: (test.requested_at, test.pk)):
        if test.fingerprint == model.fingerprint:
            found[test.kv_type] = test
    return dict(sorted(found.items()))


def _result(model: Model, test: ContextTest) -> dict[str, Any]:
    rows = list(test.measurements.all())
    largest = next((row for row in rows if row.n_ctx == test.tested_ctx), None)
    return {
        "test": test,
        "is_of_this_file": test.fingerprint == model.fingerprint,
        "largest": largest,
        "memory": " + ".join(map(human_bytes, largest.memory)) if largest else "-",
        "speed": largest.speeds[-1] if largest else None,
        "rows": rows,
        "recommended": [_choice(model, test, n) for n in SEQUENCES],
    }


def _choice(model: Model, test: ContextTest, n_sequences: int) -> dict[str, Any]:
    found = test.recommended.get(str(n_sequences))
    n_ctx = found["n_ctx"] if found else None
    wanted = (n_ctx, n_sequences, test.cache_type_k, test.cache_type_v)
    is_used = wanted == (
        model.n_ctx,
        model.n_seq_max,
        model.cache_type_k,
        model.cache_type_v,
    )
    return {
        "n": n_sequences,
        "n_ctx": n_ctx,
        "bound": _BOUNDS[found["bound"]] if found else "",
        "is_used": is_used,
    }


def _plots(tests: dict[str, ContextTest]) -> list[Any]:
    """Return the charts: a line for each KV type."""

    def lines(
        points: Callable[[ContextMeasurement], list[tuple[float, float]]],
    ) -> dict[str, list[tuple[float, float]]]:
        return {
            name: [
                point
                for row in test.measurements.all()
                if row.outcome == _PASSED
                for point in points(row)
            ]
            for name, test in tests.items()
        }

    if not any(lines(lambda row: [(row.n_ctx, 1.0)]).values()):
        return []

    def speed(name: str) -> dict[str, list[tuple[float, float]]]:
        return lines(lambda row: [(each["depth"], each[name]) for each in row.speeds])

    return [
        plot("Decode, tokens/s by depth", speed("decode"), _speed),
        plot("Prefill, tokens/s by depth", speed("prefill"), _speed),
        plot(
            "Memory by context",
            lines(lambda row: [(row.n_ctx, sum(row.memory))]),
            human_bytes,
            step=_MIB,
        ),
    ]


def _speed(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or not value else f"{value:.1f}"
