"""Reads and writes of context tests; each function is a short transaction."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from inference.context_test.measuring_process import FailedContext
from registry.models import ContextMeasurement, ContextTest

if TYPE_CHECKING:
    from inference.context_test.measuring_process import MeasuredContext
    from inference.context_test.recommendation import Memory
    from registry.models import Model

_State = ContextTest.State
_Outcome = ContextMeasurement.Outcome
#: Speeds count as disturbed if other processes use more of the processors. A choice.
_QUIET = 0.1
_CUT_OFF = "The machine or the test itself ended while this was measured."


def context_test_request(
    *, model: Model, cache_type_k: str, cache_type_v: str, **asked: Any
) -> tuple[ContextTest, bool]:
    """Request a test from the engines; return it, and whether it is a new one.

    There is at most one open test of a model and KV type.
    """
    types = {"cache_type_k": cache_type_k, "cache_type_v": cache_type_v}
    with transaction.atomic():
        tests = ContextTest.objects.select_for_update().filter(model=model, **types)
        for test in tests.open():
            return test, False
        test = ContextTest.objects.create(
            model=model,
            fingerprint=model.fingerprint,
            is_for_engine=True,
            **types,
            **asked,
        )
    return test, True


def context_test_start(
    *, model: Model, cache_type_k: str, cache_type_v: str, host: str, **asked: Any
) -> ContextTest:
    """Add a test that this process runs itself, on this host."""
    return ContextTest.objects.create(
        model=model,
        cache_type_k=cache_type_k,
        cache_type_v=cache_type_v,
        fingerprint=model.fingerprint,
        state=_State.RUNNING,
        node=host,
        **asked,
    )


def context_test_cancel(test: ContextTest, *, by: str) -> bool:
    """Cancel a test; return whether it was open. A running one ends within seconds."""
    rows = ContextTest.objects.filter(pk=test.pk)
    waiting = rows.filter(state=_State.REQUESTED).update(
        state=_State.STOPPED,
        reason=f"Cancelled by {by}.",
        finished_at=timezone.now(),
    )
    running = rows.filter(state=_State.RUNNING).update(
        is_cancelled=True, reason=f"Cancelled by {by}."
    )
    return bool(waiting or running)


def context_test_claim(test: ContextTest, host: str) -> bool:
    """Take a requested test for this host; False if another host was faster."""
    claimed = ContextTest.objects.filter(pk=test.pk, state=_State.REQUESTED)
    taken = claimed.update(state=_State.RUNNING, node=host)
    test.state, test.node = _State.RUNNING, host
    return bool(taken)


def interrupted_tests_settle(host: str) -> None:
    """Settle the tests of this host whose process is gone.

    An engine's are requested again; a command's go on with ``--resume``.
    """
    with transaction.atomic():
        cut_off = ContextTest.objects.filter(state=_State.RUNNING, node=host)
        ContextMeasurement.objects.filter(
            test__in=cut_off, outcome=_Outcome.RUNNING
        ).update(outcome=_Outcome.INTERRUPTED, reason=_CUT_OFF)
        cancelled = cut_off.filter(is_cancelled=True)
        cancelled.update(state=_State.STOPPED, finished_at=timezone.now())
        cut_off.filter(is_for_engine=True).update(state=_State.REQUESTED, node="")
        cut_off.update(
            state=_State.STOPPED, reason=_CUT_OFF, finished_at=timezone.now()
        )


def context_test_begin(
    test: ContextTest, *, identity: str, resume: bool, **facts: Any
) -> bool:
    """Note what a test's results will hold for, and take over earlier measurements.

    They are those of a test with the same identity: of a finished one always, of an
    unfinished one with ``resume``. The earlier test's row goes. False if the test's own
    row is gone.
    """
    is_another = test.identity not in ("", identity)
    for name, value in facts.items():
        setattr(test, name, value)
    test.identity = identity
    test.started_at = test.started_at or timezone.now()
    test.finished_at, test.reason = None, ""
    with transaction.atomic():
        # Locks the row. Others may cancel the test, so the rest of it is not written.
        columns = (*facts, "identity", "started_at", "finished_at")
        if not context_test_save(test, *columns):
            return False
        ContextTest.objects.filter(pk=test.pk, is_cancelled=False).update(reason="")
        if is_another:
            # It was interrupted under other versions, settings or hardware.
            test.measurements.all().delete()
        earlier = ContextTest.objects.filter(model=test.model, identity=identity)
        for other in earlier.exclude(pk=test.pk).exclude(state=_State.RUNNING):
            if resume or other.state == _State.DONE:
                have = list(test.measurements.values_list("n_ctx", flat=True))
                other.measurements.exclude(n_ctx__in=have).update(test=test)
            other.delete()
    return True


def measurement_begin(
    test: ContextTest, n_ctx: int, estimate: Memory
) -> ContextMeasurement:
    """Write that a context is being measured, before anything can end that."""
    row, is_new = ContextMeasurement.objects.get_or_create(test=test, n_ctx=n_ctx)
    if not is_new:
        row.attempts = F("attempts") + 1
    row.outcome, row.reason = _Outcome.RUNNING, ""
    row.estimate, row.started_at = list(estimate), timezone.now()
    row.save()
    row.refresh_from_db()
    return row


def measurement_end(
    row: ContextMeasurement,
    result: MeasuredContext | FailedContext,
    *,
    too_large: str = "",
    was_beside: bool = False,
) -> None:
    """Write how a measurement ended. ``too_large`` says why it does not fit."""
    row.finished_at = timezone.now()
    row.was_beside = was_beside
    if isinstance(result, FailedContext):
        row.outcome = _Outcome.KILLED if result.was_killed else _Outcome.FAILED
        row.reason = result.reason
    else:
        row.outcome = _Outcome.TOO_LARGE if too_large else _Outcome.PASSED
        row.reason = too_large
        row.memory = list(result.memory)
        row.load_seconds = result.load_seconds
        row.speeds = [asdict(each) for each in result.speeds]
        row.knows_fact = result.knows_fact
        row.knows_control = result.knows_control
        row.was_beside = was_beside or result.others > _QUIET
    row.save()


def measurement_forget(row: ContextMeasurement) -> None:
    """Drop a measurement that was broken off: nothing is known of its context."""
    row.delete()


def context_test_save(test: ContextTest, *columns: str) -> bool:
    """Write columns of a test; False if its row is gone."""
    values = {name: getattr(test, name) for name in columns}
    return bool(ContextTest.objects.filter(pk=test.pk).update(**values))


def why_cancelled(test: ContextTest) -> str:
    """Return why a running test is to end, "" if it is not."""
    row = ContextTest.objects.filter(pk=test.pk).values_list("is_cancelled", "reason")
    found = row.first()
    if found is None:
        return "It was deleted."
    is_cancelled, reason = found
    return reason or "It was cancelled." if is_cancelled else ""
