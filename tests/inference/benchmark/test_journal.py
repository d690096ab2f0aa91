"""Benchmarks as rows: one open at a time, taken by one host, cancelled, kept."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import pytest

from inference.benchmark import journal
from inference.benchmark.figures import BenchmarkResult, PromptResult
from inference.models import Benchmark
from tests.factories import make_model, make_node, make_worker

if TYPE_CHECKING:
    from registry.models import Model

pytestmark = pytest.mark.django_db


@pytest.fixture
def model() -> Model:
    return make_model("tiny")


def state_of(benchmark: Benchmark) -> str:
    benchmark.refresh_from_db()
    return benchmark.state


def test_a_model_has_one_open_benchmark(model: Model) -> None:
    first, is_new = journal.benchmark_request(model=model, by="olga")
    second, is_second_new = journal.benchmark_request(model=model, by="tim")
    assert (is_new, is_second_new) == (True, False)
    assert first == second


def test_a_benchmark_is_taken_once_and_keeps_its_result(model: Model) -> None:
    asked, _ = journal.benchmark_request(model=model, by="olga")
    make_worker(model, make_node(), n_ctx=512, n_seq_max=8)
    taken = journal.benchmark_claim()
    assert taken == asked
    assert journal.benchmark_claim() is None
    result = BenchmarkResult("tiny", [], PromptResult(1024, 0.5, 2048.0))
    journal.benchmark_finish(asked, result, node="box")
    assert state_of(asked) == "done"
    assert asked.results["long_prompt"]["first_token_median"] == 0.5
    assert (asked.n_ctx, asked.n_seq_max, asked.node) == (512, 8, "box")
    assert asked.finished_at is not None


def test_one_that_waits_is_cancelled_at_once_one_that_runs_is_told(
    model: Model,
) -> None:
    waiting, _ = journal.benchmark_request(model=model, by="olga")
    assert journal.benchmark_cancel(waiting, by="tim")
    assert state_of(waiting) == "cancelled"
    running, _ = journal.benchmark_request(model=model, by="olga")
    assert journal.benchmark_claim() == running
    assert not journal.is_cancelled(running)
    assert journal.benchmark_cancel(running, by="tim")
    assert journal.is_cancelled(running)
    journal.benchmark_end(running, Benchmark.State.CANCELLED, "Cancelled.")
    assert state_of(running) == "cancelled"
    assert running.reason == "Cancelled by tim."
    assert not journal.benchmark_cancel(running, by="tim")


def test_one_whose_process_was_killed_is_settled_on_its_host(model: Model) -> None:
    own = Benchmark.objects.create(model=model, state="running", node=platform.node())
    others = Benchmark.objects.create(model=model, state="running", node="elsewhere")
    assert Benchmark.objects.wait_for_engines()
    journal.cut_off_settle()
    assert state_of(own) == "failed"
    assert state_of(others) == "running"
    assert not Benchmark.objects.wait_for_engines()


def test_of_many_the_last_twenty_are_kept(model: Model) -> None:
    for _ in range(23):
        row, _ = journal.benchmark_request(model=model, by="olga")
        journal.benchmark_end(row, Benchmark.State.FAILED, "No.")
    assert Benchmark.objects.count() == 20
