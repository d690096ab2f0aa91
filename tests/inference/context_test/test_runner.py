"""A context test: what it measures, writes, survives and recommends."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from inference.capacity.machine import Gpu, Machine
from inference.capacity.model_rows import load_spec
from inference.context_test import journal
from inference.context_test.measuring_process import FailedContext
from inference.context_test.runner import (
    ContextTestProgress,
    Interrupted,
    run_context_test,
)
from inference.models import Worker, WorkerState
from registry.models import ContextMeasurement, ContextTest, Model
from tests.configuration import changed
from tests.factories import make_model, make_node
from tests.inference.context_test.machine import (
    GIB,
    HOST,
    ScriptedMachine,
    begin,
    run,
    surroundings,
    tiny_model,
)

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_django.fixtures import Settings

pytestmark = pytest.mark.django_db
State = ContextTest.State
Outcome = ContextMeasurement.Outcome


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return tiny_model(tmp_path)


def outcomes(test: ContextTest) -> dict[int, str]:
    return dict(test.measurements.values_list("n_ctx", "outcome"))


def test_the_trained_context_is_the_result_where_all_fits(model: Model) -> None:
    machine, test = ScriptedMachine(), begin(model)
    assert run(test, machine) == 2
    assert machine.measured == [512, 4096]
    assert (test.state, test.tested_ctx, test.failed_ctx) == (State.DONE, 4096, None)
    assert test.sane_ctx == 4096
    assert test.progress == 1.0
    assert test.recommended["1"] == {"n_ctx": 4096, "bound": "tested"}


def test_a_measurement_loads_the_model_as_for_serving_with_one_sequence(
    model: Model,
) -> None:
    machine = ScriptedMachine()
    run(begin(model, "bf16"), machine)
    config = machine.configs[-1]
    assert (config.n_ctx, config.n_seq_max, config.kv_layout) == (4096, 1, "split")
    assert (config.cache_type_k, config.cache_type_v) == ("bf16", "bf16")
    assert config.paths == (str(model.paths[0]),)


def test_a_killed_measurement_is_a_result_and_the_search_goes_on_below(
    model: Model,
) -> None:
    machine, test = ScriptedMachine(limit=3000), begin(model)
    run(test, machine)
    assert test.state == State.DONE
    assert 3000 - 256 < (test.tested_ctx or 0) <= 3000
    assert (test.failed_ctx or 0) > 3000
    killed = test.measurements.get(n_ctx=4096)
    assert (killed.outcome, killed.reason) == (Outcome.KILLED, "killed by SIGKILL")


def test_a_context_that_leaves_too_little_memory_has_not_passed(model: Model) -> None:
    machine, test = ScriptedMachine(memory=(5 * GIB,)), begin(model)
    run(test, machine, surroundings(memory=4 * GIB))
    assert set(outcomes(test).values()) == {Outcome.TOO_LARGE}
    assert test.state == State.FAILED
    assert "Not even 512 tokens work: It works, but it needs 5.0 GiB" in test.reason


def test_memory_on_a_gpu_counts_as_well(model: Model) -> None:
    gpus = Machine(gpus=(Gpu("CUDA0", "a GPU", 4 * GIB, 4 * GIB),))
    machine, test = ScriptedMachine(memory=(GIB, 4 * GIB)), begin(model)
    run(test, machine, surroundings(machine=gpus))
    assert "on GPU 0" in test.measurements.get(n_ctx=512).reason


def test_the_answers_are_searched_for_the_largest_sane_context(model: Model) -> None:
    machine, test = ScriptedMachine(sane=2000), begin(model)
    run(test, machine)
    assert (test.state, test.tested_ctx) == (State.DONE, 4096)
    assert 2000 - 512 <= (test.sane_ctx or 0) <= 2000
    assert test.recommended["1"]["bound"] == "answers"


def test_a_model_that_is_too_small_to_tell_is_not_searched(model: Model) -> None:
    machine, test = ScriptedMachine(knows_control=False), begin(model)
    run(test, machine)
    assert machine.measured == [512, 4096]
    assert test.sane_ctx is None
    assert test.recommended["1"]["bound"] == "tested"


# Going on -------------------------------------------------------------------------


def test_a_finished_test_is_not_repeated(model: Model) -> None:
    run(begin(model), ScriptedMachine())
    machine, again = ScriptedMachine(), begin(model)
    assert run(again, machine, resume=False) == 0
    assert machine.measured == []
    assert (again.state, again.tested_ctx) == (State.DONE, 4096)
    assert ContextTest.objects.count() == 1


@pytest.mark.parametrize(
    "change",
    [
        {"fingerprint": "another file"},
        {"n_batch": 1024},
    ],
)
def test_another_file_or_other_settings_are_tested(
    model: Model, change: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(begin(model), ScriptedMachine())
    monkeypatch.setattr(
        "inference.context_test.measured_model.why_not_as_scanned", lambda _model: ""
    )
    Model.objects.filter(pk=model.pk).update(**change)
    model.refresh_from_db()
    machine = ScriptedMachine()
    run(begin(model), machine)
    assert machine.measured == [512, 4096]


def test_other_hardware_and_another_llama_cpp_are_tested(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(begin(model), ScriptedMachine())
    machine = ScriptedMachine()
    run(begin(model), machine, surroundings(memory=16 * GIB))
    monkeypatch.setattr(
        "inference.context_test.measured_model._versions",
        lambda: {"llama-cpp-python": "9.9", "llm-manager": "1"},
    )
    run(begin(model), machine)
    assert machine.measured == [512, 4096, 512, 4096]
    assert ContextTest.objects.count() == 3


def die_at(n_ctx: int, machine: ScriptedMachine) -> None:
    """Let the whole process die, as by a power failure, when it measures this."""

    def at(measured: int) -> None:
        if measured == n_ctx:
            raise SystemError("power failure")

    machine.at = at


def test_after_a_power_failure_a_test_goes_on_after_the_last_measurement(
    model: Model,
) -> None:
    machine, test = ScriptedMachine(), begin(model)
    die_at(4096, machine)
    with pytest.raises(SystemError):
        run(test, machine)
    assert outcomes(test) == {512: Outcome.PASSED, 4096: Outcome.RUNNING}
    journal.interrupted_tests_settle(HOST)
    test.refresh_from_db()
    assert test.state == State.STOPPED
    assert outcomes(test)[4096] == Outcome.INTERRUPTED
    after, resumed = ScriptedMachine(), begin(model)
    assert run(resumed, after, resume=True) == 1
    assert after.measured == [4096]
    assert (resumed.state, resumed.tested_ctx) == (State.DONE, 4096)


def test_without_resume_an_unfinished_test_begins_again(model: Model) -> None:
    machine, test = ScriptedMachine(), begin(model)
    die_at(4096, machine)
    with pytest.raises(SystemError):
        run(test, machine)
    journal.interrupted_tests_settle(HOST)
    after = ScriptedMachine()
    run(begin(model), after, resume=False)
    assert after.measured == [512, 4096]


def test_a_context_that_ends_the_machine_twice_has_failed(model: Model) -> None:
    for _ in range(2):
        machine = ScriptedMachine()
        die_at(4096, machine)
        with pytest.raises(SystemError):
            run(begin(model), machine)
        journal.interrupted_tests_settle(HOST)
    after, test = ScriptedMachine(), begin(model)
    run(test, after)
    assert 4096 not in after.measured
    assert test.state == State.DONE
    assert (test.failed_ctx, test.measurements.get(n_ctx=4096).attempts) == (4096, 2)


def test_an_engines_test_that_was_cut_off_is_requested_again(model: Model) -> None:
    test, _ = journal.context_test_request(
        model=model, cache_type_k="f16", cache_type_v="f16"
    )
    assert journal.context_test_claim(test, HOST)
    journal.interrupted_tests_settle("elsewhere")
    test.refresh_from_db()
    assert test.state == State.RUNNING
    journal.interrupted_tests_settle(HOST)
    test.refresh_from_db()
    assert (test.state, test.node) == (State.REQUESTED, "")


# Beside others --------------------------------------------------------------------


def load(model: Model, state: WorkerState, memory: int, **columns: object) -> Worker:
    node = make_node(HOST)
    return Worker.objects.create(
        model=model, node=node, state=state, device_memory=[memory], **columns
    )


def test_it_refuses_to_take_memory_from_what_is_served(model: Model) -> None:
    load(make_model(), WorkerState.READY, 8 * GIB)
    machine, test = ScriptedMachine(), begin(model)
    run(test, machine)
    assert machine.measured == []
    assert test.state == State.STOPPED
    assert "512 tokens were not measured: it needs" in test.reason
    assert "0 B is free beside what is loaded" in test.reason


def test_a_load_that_needs_the_memory_goes_first(model: Model) -> None:
    machine, test = ScriptedMachine(), begin(model)
    workers: list[Worker] = []

    def at(n_ctx: int) -> None:
        if n_ctx == 4096 and not workers:
            workers.append(load(make_model(), WorkerState.LOADING, 10**15))

    machine.at = at

    def sleep(seconds: float) -> None:
        # Meanwhile the model is loaded.
        Worker.objects.update(state=WorkerState.READY, device_memory=[1])

    conditions = machine.conditions()
    run_context_test(test, surroundings(), replace(conditions, sleep=sleep))
    test.refresh_from_db()
    # The one that was broken off left no row, and was measured again.
    assert machine.measured == [512, 4096]
    assert (test.state, test.tested_ctx) == (State.DONE, 4096)
    assert test.measurements.get(n_ctx=4096).attempts == 1


def test_a_measurement_beside_running_requests_says_so(model: Model) -> None:
    machine, test = ScriptedMachine(), begin(model)
    machine.now = 5.0
    load(make_model(), WorkerState.READY, 1, running=3)
    run(test, machine)
    assert test.measurements.get(n_ctx=4096).was_beside


def test_speeds_of_a_busy_machine_bound_no_recommendation(model: Model) -> None:
    slow = ScriptedMachine(speed=5.0)
    quiet, busy = begin(model), begin(model, "bf16")
    run(quiet, slow)
    # A prompt of 4096 tokens takes longer than server.request_timeout.
    assert quiet.recommended["1"] == {"n_ctx": 2816, "bound": "request_timeout"}
    slow.others = 0.5
    run(busy, slow)
    assert busy.measurements.get(n_ctx=4096).was_beside
    assert busy.recommended["1"] == {"n_ctx": 4096, "bound": "tested"}


# Ends -----------------------------------------------------------------------------


def test_a_running_test_can_be_cancelled(model: Model) -> None:
    machine, test = ScriptedMachine(), begin(model)

    def at(n_ctx: int) -> None:
        if n_ctx == 4096:
            assert journal.context_test_cancel(test, by="Ada")

    machine.at = at
    run(test, machine)
    assert (test.state, test.reason) == (State.STOPPED, "Cancelled by Ada.")
    # What is known stays, and can be used.
    assert outcomes(test) == {512: Outcome.PASSED}
    assert test.tested_ctx == 512


def test_a_test_that_waits_for_a_load_can_be_cancelled(model: Model) -> None:
    machine, test = ScriptedMachine(), begin(model)
    load(make_model(), WorkerState.LOADING, 10**15)
    slept = machine.conditions().sleep

    def cancel(seconds: float) -> None:
        slept(seconds)
        journal.context_test_cancel(test, by="Ada")

    run(test, machine, sleep=cancel)
    assert (test.state, test.reason) == (State.STOPPED, "Cancelled by Ada.")
    assert machine.measured == []


def test_a_test_waits_for_a_load_no_longer_than_it_has_time(model: Model) -> None:
    machine, test = ScriptedMachine(), begin(model)
    load(make_model(), WorkerState.LOADING, 10**15)
    run(test, machine, deadline=3.0)
    assert test.state == State.STOPPED
    assert machine.measured == []


def test_a_cancellation_before_the_first_measurement_stays(model: Model) -> None:
    machine, test = ScriptedMachine(), begin(model)
    assert journal.context_test_cancel(ContextTest.objects.get(pk=test.pk), by="Ada")
    # The test's own object does not know of it yet.
    run(test, machine)
    assert (test.state, test.reason) == (State.STOPPED, "Cancelled by Ada.")
    assert machine.measured == []


def test_a_test_whose_model_is_deleted_ends(model: Model) -> None:
    machine, test = ScriptedMachine(), begin(model)

    def at(n_ctx: int) -> None:
        if n_ctx == 4096:
            Model.objects.all().delete()

    machine.at = at
    with pytest.raises(ContextTest.DoesNotExist):
        run(test, machine)
    assert machine.measured == [512]


def test_the_time_that_is_left_decides_what_is_measured(model: Model) -> None:
    machine, test = ScriptedMachine(), begin(model)
    # 512 tokens take half a second, and 4096 would take four.
    run(test, machine, deadline=3.0)
    assert machine.measured[0] == 512
    assert 1024 < machine.measured[1] < 2560
    assert (test.state, test.reason) == (
        State.STOPPED,
        "The time was up. Resume the test to go on.",
    )


def test_an_engine_that_stops_leaves_its_test_to_the_next(model: Model) -> None:
    test, _ = journal.context_test_request(
        model=model, cache_type_k="f16", cache_type_v="f16"
    )
    journal.context_test_claim(test, HOST)
    machine = ScriptedMachine()
    with pytest.raises(Interrupted):
        run(test, machine, is_stopping=lambda: machine.now > 1)
    assert test.state == State.REQUESTED
    assert outcomes(test) == {512: Outcome.PASSED}


def test_types_that_the_model_cannot_have_are_said(model: Model) -> None:
    machine, test = ScriptedMachine(), begin(model, "q8_0")
    run(test, machine)
    assert machine.measured == []
    assert test.state == State.FAILED
    assert "K cannot be q8_0" in test.reason


def test_a_file_that_is_gone_is_said(model: Model) -> None:
    model.paths[0].unlink()
    test = begin(model)
    run(test, ScriptedMachine())
    assert (test.state, test.reason) == (
        State.FAILED,
        "Its file is missing. Scan again when it is back.",
    )


def test_bounds_that_leave_nothing_are_said(model: Model) -> None:
    test = begin(model, min_ctx=8192)
    run(test, ScriptedMachine())
    assert "at least 8,192 tokens were asked for" in test.reason
    assert "the largest context is 4,096" in test.reason


def test_progress_tells_the_time_that_is_left(model: Model) -> None:
    shown: list[ContextTestProgress] = []
    run(begin(model), ScriptedMachine(), on_progress=shown.append)
    last = shown[-1]
    assert (last.n_ctx, last.doing) == (4096, "4,096 tokens, 50 % computed")
    # At 1000 tokens a second, half of it is left.
    assert last.seconds_left == pytest.approx(2.0, rel=0.05)
    assert 0 < last.share < 1


# Use ------------------------------------------------------------------------------


def test_a_load_takes_the_recommended_context(model: Model, settings: Settings) -> None:
    settings.CONFIG = changed(settings.CONFIG, models__default_ctx=1024)
    assert load_spec(model).context.at_load == 1024
    run(begin(model), ScriptedMachine())
    assert load_spec(model).context.at_load == 4096
    model.n_ctx = 2048
    assert load_spec(model).context.at_load == 2048


def test_a_load_never_has_more_than_what_was_tested_where_more_failed(
    model: Model,
) -> None:
    run(begin(model), ScriptedMachine(limit=2000))
    tested = ContextTest.objects.get().tested_ctx
    assert load_spec(model).context.ceiling == tested


def test_a_maximum_that_was_asked_for_bounds_no_load(model: Model) -> None:
    run(begin(model, max_ctx=1024), ScriptedMachine())
    assert load_spec(model).context.ceiling == 4096


def test_results_hold_for_their_hardware_types_and_settings_only(model: Model) -> None:
    around = surroundings()
    run(begin(model), ScriptedMachine(limit=2000), around)
    assert load_spec(model, around.hardware).context.tested
    assert not load_spec(model, {"cpu": "another"}).context.tested
    model.cache_type_k = "bf16"
    assert not load_spec(model).context.tested
    model.cache_type_k = ""
    model.n_ubatch = 64
    assert not load_spec(model).context.tested


def test_failures_without_a_signal_are_told_apart(model: Model) -> None:
    machine = ScriptedMachine(limit=1000, failure=FailedContext("no memory"))
    test = begin(model)
    run(test, machine)
    assert outcomes(test)[4096] == Outcome.FAILED
