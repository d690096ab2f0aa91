from __future__ import annotations

import pytest

from inference.engine import FinishReason, SamplingParams
from inference.engine.scheduling.end_of_answer import check_stop
from tests.inference.engine.fakes import END, FakeTokenizer
from tests.inference.engine.sequences import sequence


@pytest.mark.parametrize(
    ("params", "output", "reason"),
    [
        ({}, [5, 6], None),
        ({}, [5, END], FinishReason.STOP),
        ({"stop_token_ids": (6,)}, [5, 6], FinishReason.STOP),
        ({"max_tokens": 2}, [5, 6], FinishReason.LENGTH),
        ({"max_tokens": 2}, [5, END], FinishReason.STOP),
        ({}, [5] * 7, FinishReason.LENGTH),
    ],
    ids=str,
)
def test_an_answer_is_done_by_its_newest_token_or_its_length(
    params: dict[str, object], output: list[int], reason: FinishReason | None
) -> None:
    answer = sequence([1, 2, 3], params=SamplingParams(**params))  # type: ignore[arg-type]
    answer.tokens += output
    check_stop(answer, FakeTokenizer(), n_ctx_max=10)
    assert answer.finish_reason is reason
    assert answer.is_finished is (reason is not None)


def test_the_first_reason_counts_but_for_a_stop_string() -> None:
    answer = sequence([1])
    answer.finish(FinishReason.LENGTH)
    answer.finish(FinishReason.ABORTED)
    assert str(answer.finish_reason) == "length"
    answer.finish(FinishReason.STOP)
    assert str(answer.finish_reason) == "stop"
