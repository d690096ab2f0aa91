"""The engine measures what it does: a step takes a second here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inference.engine import EngineCore, GenerationRequest, SamplingParams
from tests.inference.engine.fakes import FakeBackend

if TYPE_CHECKING:
    from inference.engine.step import StepPlan
    from inference.engine.telemetry import Snapshot


class SlowBackend(FakeBackend):
    """Every step takes one second of its own clock."""

    now = 100.0

    def clock(self) -> float:
        return self.now

    def decode(self, plan: StepPlan) -> Any:
        self.now += 1
        return super().decode(plan)


def make_engine(**shape: Any) -> tuple[EngineCore, SlowBackend]:
    backend = SlowBackend(**shape)
    return EngineCore(backend, clock=backend.clock), backend


def add(core: EngineCore, request_id: str, prompt: str, **params: Any) -> None:
    tokens = [ord(character) for character in prompt]
    core.add(GenerationRequest(request_id, tokens, SamplingParams(**params)))


def run(core: EngineCore, steps: int = 1000) -> Snapshot:
    for _ in range(steps):
        if not core.has_work:
            return core.telemetry.snapshot()
        core.step()
    raise AssertionError("the engine does not come to an end")


def values(taken: Snapshot, key: str) -> tuple[int, float]:
    """Return how many values a histogram has, and their sum."""
    data = taken["histograms"][key]
    return sum(data["counts"]), data["sum"]


def test_two_sequences_one_after_the_other() -> None:
    core, _ = make_engine(n_seq_max=1, n_batch=16)
    add(core, "first", "x" * 32, max_tokens=3)
    add(core, "second", "y" * 8, max_tokens=1)
    taken = run(core)
    # The first: two steps of prefill, of which the last gives a token; two more.
    assert values(taken, "queue_seconds") == (2, 0 + 4)
    assert values(taken, "prefill_seconds") == (2, 2 + 1)
    assert values(taken, "time_to_first_token_seconds") == (2, 2 + 5)
    assert values(taken, "inter_token_latency_seconds") == (2, 2)
    assert values(taken, "time_per_output_token_seconds") == (1, 1)
    assert values(taken, "decode_seconds") == (2, 2 + 0)
    assert values(taken, "request_seconds") == (2, 4 + 5)
    assert values(taken, "step_seconds") == (5, 5)
    assert values(taken, "step_tokens") == (5, 16 + 16 + 1 + 1 + 8)
    assert values(taken, "step_sequences") == (5, 5)
    assert values(taken, "request_max_tokens") == (2, 4)
    assert taken["counters"]["prompt_tokens"] == 40
    assert taken["counters"]["output_tokens"] == 4
    assert taken["counters"]["prefill_step_seconds"] == 3
    assert taken["finished"]["length"] == 2
    assert taken["gauges"]["longest_sequence"] == 35


def test_a_cached_prefix_is_counted() -> None:
    core, _ = make_engine()
    add(core, "a", "the same beginning, one", max_tokens=2)
    run(core)
    add(core, "b", "the same beginning, two", max_tokens=2)
    taken = run(core)
    saved = len("the same beginning, ")
    assert taken["counters"]["prefix_cache_queries"] == 46
    assert taken["counters"]["prefix_cache_hits"] == saved
    assert taken["counters"]["cached_prompt_tokens"] == saved
    assert values(taken, "request_prefill_tokens") == (2, 46 - saved)


def test_every_end_is_counted_with_its_reason() -> None:
    core, backend = make_engine()
    backend.script("stops", "!")
    add(core, "stop", "stops")
    run(core)
    add(core, "aborted", "stops")
    core.abort(["aborted"])
    add(core, "failed", "stops")
    backend.fail_next = True
    taken = run(core)
    assert taken["finished"] == {"stop": 1, "length": 0, "aborted": 1, "failed": 1}
    # What had no token has no time to it either.
    assert values(taken, "time_to_first_token_seconds")[0] == 1
    assert values(taken, "decode_seconds")[0] == 1
    assert values(taken, "request_seconds")[0] == 3


def test_a_full_cache_is_counted() -> None:
    core, _ = make_engine(n_seq_max=2, n_ctx=32, n_cells=40, is_split=False)
    add(core, "a", "a" * 12, max_tokens=18)
    add(core, "b", "b" * 12, max_tokens=18)
    taken = run(core)
    assert taken["counters"]["preemptions"] > 0
    # It has begun once, however often it was set aside.
    assert values(taken, "queue_seconds")[0] == 2
    assert values(taken, "time_to_first_token_seconds")[0] == 2
    assert taken["counters"]["prompt_tokens"] == 24
    add(core, "c", "c" * 30, max_tokens=1)
    taken = run(core)
    assert taken["counters"]["evictions"] > 0
    assert taken["counters"]["evicted_cells"] > 0


def test_a_context_that_grows_is_counted() -> None:
    core, _ = make_engine(n_ctx=16, n_ctx_max=64, n_cells_max=256)
    assert core.telemetry.snapshot()["gauges"]["n_ctx_max"] == 64
    add(core, "a", "x" * 30, max_tokens=2)
    taken = run(core)
    assert taken["counters"]["context_resizes"] == 1
    assert taken["gauges"]["n_ctx"] > 30
