"""Runs one context test: measures contexts until the largest is known.

Nothing is kept in memory between measurements: what is known is read from the journal,
so that a test goes on wherever it was ended.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from django.conf import settings
from django.utils import timezone

from inference.context_test import journal
from inference.context_test.bisection import PRECISION, STEP
from inference.context_test.fill_time import affordable_context, fill_seconds
from inference.context_test.measured_model import (
    CannotMeasure,
    MeasuredModel,
    context_test_facts,
    least_context,
)
from inference.context_test.measuring_process import (
    FailedContext,
    MeasuredContext,
    MeasurementStopped,
    MeasuringProgress,
    measure,
)
from inference.context_test.recommendation import ContextFacts, recommended_context
from inference.context_test.results import Results
from inference.context_test.surroundings import shortage
from registry.models import SEQUENCES, ContextTest

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.capacity.load_plan import LoadPlan
    from inference.context_test.surroundings import Surroundings
    from inference.engine.config.engine_config import EngineConfig

_MIB = 2**20
#: How often rows are looked at and written while a context is measured, in seconds.
_LOOK_EVERY_S = 1.0
#: Share of the time that is left which the next measurement may take by projection.
_AFFORDABLE = 0.9
_TIME_UP = "The time was up. Resume the test to go on."


class Measure(Protocol):
    """What measures a context: ``measuring_process.measure``."""

    def __call__(
        self,
        config: EngineConfig,
        *,
        should_stop: Callable[[], bool],
        on_progress: Callable[[MeasuringProgress], None],
        silent_s: float,
    ) -> MeasuredContext | FailedContext: ...


@dataclass(frozen=True, slots=True)
class ContextTestProgress:
    """How far a test is: ``share`` goes from 0 to 1, ``seconds_left`` is a projection.

    Both are of the whole test; None is unknown.
    """

    n_ctx: int
    doing: str
    share: float
    seconds_left: float | None


class Interrupted(Exception):
    """The process was asked to end; the test goes on later."""


def _nobody(_progress: ContextTestProgress) -> None:
    """Show nothing."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """How long tests may run, who hears of them, and what measures.

    ``deadline`` is a time of ``clock`` at which measuring ends; ``is_stopping`` says
    that the process was asked to end. With ``resume`` the measurements of an unfinished
    test count.
    """

    resume: bool = True
    deadline: float | None = None
    on_progress: Callable[[ContextTestProgress], None] = _nobody
    is_stopping: Callable[[], bool] = lambda: False
    measure: Measure = measure
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def run_context_test(
    test: ContextTest, surroundings: Surroundings, conditions: Conditions
) -> int:
    """Run a test that was claimed; return how many contexts it measured.

    Raises Interrupted.
    """
    try:
        facts = context_test_facts(test, surroundings.hardware)
        model = MeasuredModel(
            test.model, test.cache_type_k, test.cache_type_v, surroundings.machine
        )
    except CannotMeasure as error:
        _end(test, ContextTest.State.FAILED, str(error))
        return 0
    if not journal.context_test_begin(test, resume=conditions.resume, **facts):
        return 0
    run = _Run(test, model, surroundings, conditions)
    try:
        run.to_end()
    except (Interrupted, KeyboardInterrupt):
        if test.is_for_engine:
            _end(test, ContextTest.State.REQUESTED, "")
        else:
            _end(test, ContextTest.State.STOPPED, "The scan was interrupted.")
        raise
    return run.num_measured


class _Run:
    """One test while it runs."""

    def __init__(
        self,
        test: ContextTest,
        model: MeasuredModel,
        surroundings: Surroundings,
        conditions: Conditions,
    ) -> None:
        self._test = test
        self._model = model
        self._around = surroundings
        self._with = conditions
        self._least = least_context(test.min_ctx)
        self._most = 0
        self._started = conditions.clock()
        self._looked_at = self._written_at = -_LOOK_EVERY_S
        self._why_stopped = ""
        self._was_beside = False
        self.num_measured = 0

    def to_end(self) -> None:
        """Measure until nothing is left to know, or something ends it."""
        if reason := self._why_nothing_fits():
            _end(self._test, ContextTest.State.FAILED, reason)
            return
        while (wanted := self._next()) is not None:
            if reason := self._await_loads():
                self._stop(reason)
                return
            n_ctx = self._in_time(wanted)
            if n_ctx is None:
                self._stop(_TIME_UP)
                return
            plan = self._model.plan(n_ctx)
            if missing := shortage(plan.needs(), self._around.free()):
                self._stop(
                    f"{n_ctx:,} tokens were not measured: {missing} beside what is "
                    "loaded. Unload models and resume, or set a smaller maximum."
                )
                return
            if not self._measure(n_ctx, plan):
                self._stop(self._why_stopped)
                return
        self._finish()

    def _why_nothing_fits(self) -> str:
        """Find the largest context that is estimated to fit, or return why none is."""
        asked = self._model.most(self._test.max_ctx)
        if self._least > asked:
            return (
                f"There is nothing to measure: at least {self._least:,} tokens were "
                f"asked for, and the largest context is {asked:,}."
            )
        limits = self._around.limits
        self._most = self._model.largest_estimated(self._least, asked, limits)
        if self._most:
            return ""
        missing = shortage(self._model.plan(self._least).needs(), limits)
        return f"Not even {self._least:,} tokens fit: {missing} for models here."

    def _results(self) -> Results:
        return Results(self._test.measurements.all())

    def _next(self) -> int | None:
        results = self._results()
        largest = results.next_largest(self._least, self._most)
        return results.next_sane() if largest is None else largest

    def _in_time(self, n_ctx: int) -> int | None:
        """Return what can be measured in the time that is left: at most ``n_ctx``."""
        if self._with.deadline is None:
            return n_ctx
        left = self._with.deadline - self._with.clock()
        results = self._results()
        found = affordable_context(results.speeds, n_ctx, left * _AFFORDABLE)
        if left <= 0:
            return None
        if found == n_ctx:
            return n_ctx
        done = results.tested_ctx or 0
        found = found // STEP * STEP
        return found if found > done + max(STEP, done // PRECISION) else None

    # One measurement ------------------------------------------------------------

    def _measure(self, n_ctx: int, plan: LoadPlan) -> bool:
        """Measure a context and write the result; False if the test is to stop."""
        pace = _Pace(self._results(), n_ctx, self._least, self._most)
        row = journal.measurement_begin(self._test, n_ctx, plan.needs())
        self._was_beside = False
        self._show(pace, MeasuringProgress(loaded=0.0))
        try:
            result = self._with.measure(
                plan.engine,
                should_stop=self._should_stop,
                on_progress=lambda progress: self._show(pace, progress),
                silent_s=float(settings.CONFIG.engine.load_timeout),
            )
        except (MeasurementStopped, KeyboardInterrupt) as error:
            journal.measurement_forget(row)
            if self._with.is_stopping() or isinstance(error, KeyboardInterrupt):
                raise Interrupted from error
            # Without a reason a model is being loaded: it is measured after that.
            return not self._why_stopped
        journal.measurement_end(
            row,
            result,
            too_large=self._why_too_large(result, plan),
            was_beside=self._was_beside,
        )
        self.num_measured += 1
        self._note_results()
        return True

    def _why_too_large(
        self, result: MeasuredContext | FailedContext, plan: LoadPlan
    ) -> str:
        """Return why a context that works leaves too little memory, "" if it does not.

        The rest of the machine's memory is the headroom of serving.
        """
        if isinstance(result, FailedContext):
            return ""
        host, *gpus = result.memory
        # Pages that nothing reads again are dropped when memory is needed.
        taken = (max(host - plan.estimate.stale, 0), *gpus)
        missing = shortage(taken, self._around.limits)
        return f"It works, but {missing} for models here." if missing else ""

    def _should_stop(self) -> bool:
        """Return whether the measurement ends now; ``_why_stopped`` says why."""
        self._why_stopped = ""
        if self._with.is_stopping():
            return True
        now = self._with.clock()
        if self._is_overdue():
            self._why_stopped = _TIME_UP
            return True
        if now - self._looked_at < _LOOK_EVERY_S:
            return False
        self._looked_at = now
        self._was_beside = self._was_beside or self._around.serves_requests()
        if reason := journal.why_cancelled(self._test):
            self._why_stopped = reason
            return True
        return self._around.is_loading()

    def _is_overdue(self) -> bool:
        deadline = self._with.deadline
        return deadline is not None and self._with.clock() > deadline

    def _await_loads(self) -> str:
        """Wait until no model is being loaded that needs the memory.

        Returns why the test is to stop, "" if it goes on. Raises Interrupted.
        """
        while not (reason := journal.why_cancelled(self._test)):
            if not self._around.is_loading():
                return ""
            if self._with.is_stopping():
                raise Interrupted
            if self._is_overdue():
                return _TIME_UP
            self._with.sleep(_LOOK_EVERY_S)
        return reason

    # What is shown and written --------------------------------------------------

    def _show(self, pace: _Pace, progress: MeasuringProgress) -> None:
        now = self._with.clock()
        shown = pace.progress(progress, now - self._started)
        self._with.on_progress(shown)
        if now - self._written_at < _LOOK_EVERY_S:
            return
        self._written_at = now
        test = self._test
        test.doing, test.progress = shown.doing, shown.share
        test.seconds_left = shown.seconds_left
        journal.context_test_save(test, "doing", "progress", "seconds_left")

    def _note_results(self) -> None:
        """Write what is known so far, so that it can be used at once."""
        test, results = self._test, self._results()
        test.tested_ctx, test.failed_ctx = results.tested_ctx, results.failed_ctx
        test.sane_ctx = results.sane_ctx
        facts = ContextFacts(
            measured=[(row.n_ctx, tuple(row.memory)) for row in results.passed],
            sane_ctx=results.sane_ctx,
            cost=self._model.cost,
            limits=self._around.limits,
            kv_budget=settings.CONFIG.engine.kv_memory_mb * _MIB,
            fill_seconds=lambda n_ctx: fill_seconds(results.quiet_speeds, n_ctx),
            request_timeout=settings.CONFIG.server.request_timeout,
        )
        found = {n: recommended_context(facts, n) for n in SEQUENCES}
        test.recommended = {str(n): each.as_json() for n, each in found.items() if each}
        journal.context_test_save(
            test, "tested_ctx", "failed_ctx", "sane_ctx", "recommended"
        )

    def _stop(self, reason: str) -> None:
        self._note_results()
        _end(self._test, ContextTest.State.STOPPED, reason)

    def _finish(self) -> None:
        self._note_results()
        if self._test.tested_ctx:
            _end(self._test, ContextTest.State.DONE, "")
            return
        failed = " ".join(row.reason for row in self._results().failed)
        reason = f"Not even {self._least:,} tokens work: {failed}"
        _end(self._test, ContextTest.State.FAILED, reason)


class _Pace:
    """How long a test still takes, projected when a measurement begins."""

    def __init__(self, results: Results, n_ctx: int, least: int, most: int) -> None:
        self._speeds = results.speeds
        self._n_ctx = n_ctx
        self._later = 0.0
        passed = [n_ctx]
        # Most tests take this way: everything passes.
        while (following := results.next_largest(least, most, passed)) is not None:
            self._later += fill_seconds(self._speeds, following) or 0.0
            passed.append(following)

    def progress(
        self, progress: MeasuringProgress, took_s: float
    ) -> ContextTestProgress:
        """Return how far the test is, ``took_s`` seconds after it began."""
        n_ctx, filled = self._n_ctx, progress.filled
        doing = f"{n_ctx:,} tokens, " + (
            f"{100 * filled // n_ctx} % computed"
            if filled
            else f"{100 * progress.loaded:.0f} % loaded"
        )
        whole = fill_seconds(self._speeds, n_ctx)
        if whole is None:
            return ContextTestProgress(n_ctx, doing, 0.0, None)
        left = whole - (fill_seconds(self._speeds, filled) or 0.0) + self._later
        share = took_s / (took_s + left) if took_s + left > 0 else 0.0
        return ContextTestProgress(n_ctx, doing, share, left)


def _end(test: ContextTest, state: ContextTest.State, reason: str) -> None:
    test.state, test.reason, test.doing = state, reason, ""
    test.seconds_left, test.is_cancelled = None, False
    test.progress = 1.0 if state == ContextTest.State.DONE else test.progress
    test.finished_at = timezone.now()
    journal.context_test_save(
        test,
        "state",
        "reason",
        "doing",
        "seconds_left",
        "is_cancelled",
        "progress",
        "finished_at",
    )
