"""A context is filled to its last token; speeds and answers are noted."""

from __future__ import annotations

from inference.context_test.filling import CONTROL, DECODED, fill_context
from inference.context_test.planted_fact import ANSWER, QUESTION
from inference.engine.step import Sampled, StepPlan
from tests.inference.engine.fakes import FakeBackend


class Reader(FakeBackend):
    """A model that answers the question, as far back as it can see; 10 ms a token."""

    def __init__(self, *, n_ctx: int, sees: int = 10**9) -> None:
        super().__init__(n_ctx=n_ctx, n_seq_max=1, n_batch=64)
        self.now = 0.0
        self._sees = sees
        self._answer: list[int] = []

    def decode(self, plan: StepPlan) -> dict[int, Sampled]:
        super().decode(plan)
        self.now += 0.01 * plan.num_tokens
        seen = "".join(chr(token) for token, *_ in self.cells[0][-self._sees :])
        if seen.endswith(QUESTION):
            knows = ANSWER in seen
            self._answer = [ord(c) for c in (f" {ANSWER}." if knows else " unknown")]
        token = self._answer.pop(0) if self._answer else ord("x")
        return {0: Sampled((token,))}


def filled_with(backend: Reader, n_ctx: int):  # type: ignore[no-untyped-def]
    return fill_context(backend, n_ctx, clock=lambda: backend.now)


def test_every_cell_of_the_context_is_computed() -> None:
    backend = Reader(n_ctx=1000)
    seen: list[int] = []
    fill_context(backend, 1000, on_tokens=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1000
    assert not backend.cells.get(0)


def test_speeds_are_those_at_the_beginning_in_the_middle_and_at_the_end() -> None:
    found = filled_with(Reader(n_ctx=1000), 1000)
    assert [each.depth for each in found.speeds] == [100, 500, 1000]
    assert all(90 < each.prefill < 110 for each in found.speeds)
    assert all(90 < each.decode < 110 for each in found.speeds)


def test_a_model_that_sees_everything_knows_the_fact() -> None:
    found = filled_with(Reader(n_ctx=1000), 1000)
    assert found.knows_fact
    assert found.knows_control


def test_one_that_forgets_knows_it_only_in_the_short_text() -> None:
    found = filled_with(Reader(n_ctx=1000, sees=CONTROL), 1000)
    assert not found.knows_fact
    assert found.knows_control


def test_one_that_is_too_small_does_not_know_it_at_all() -> None:
    found = filled_with(Reader(n_ctx=1000, sees=len(QUESTION)), 1000)
    assert not found.knows_fact
    assert not found.knows_control


def test_the_smallest_context_has_room_for_all_of_it() -> None:
    found = filled_with(Reader(n_ctx=256), 256)
    assert found.knows_fact
    assert [each.depth for each in found.speeds] == [25, 128, 256]
    assert DECODED < 25
