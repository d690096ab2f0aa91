"""How an answer ends, from the sampled token to the text."""

from __future__ import annotations

import pytest

from inference.engine import FinishReason, GenerationRequest, SamplingParams
from tests.inference.engine.test_core import make_engine, run_outputs, tokens


def answer(scripted: str, **params: object) -> tuple[str, FinishReason | None, int]:
    """Return the text, the reason and the number of tokens of an answer."""
    core, backend = make_engine()
    backend.script("go", scripted)
    asked = SamplingParams(**params)  # type: ignore[arg-type]
    core.add(GenerationRequest("a", tokens("go"), asked))
    outputs = run_outputs(core)
    text = "".join(output.text for output in outputs)
    return text, outputs[-1].finish_reason, outputs[-1].num_output


def test_a_stop_token_ends_the_answer_and_is_no_part_of_its_text() -> None:
    ended = answer("one.two", stop_token_ids=(ord("."),))
    assert ended == ("one", FinishReason.STOP, 4)


@pytest.mark.parametrize("params", [{"stop_token_ids": (46,)}, {"stop": (".",)}])
def test_what_stops_the_answer_can_be_part_of_its_text(
    params: dict[str, object],
) -> None:
    ended = answer("one.two", include_stop_str_in_output=True, **params)
    assert ended == ("one.", FinishReason.STOP, 4)


def test_a_stop_string_before_the_least_number_of_tokens_is_text() -> None:
    ended = answer("a.b.c.d", stop=(".",), min_tokens=2)
    assert ended == ("a.b", FinishReason.STOP, 4)


def test_text_that_is_held_back_comes_with_the_end() -> None:
    assert answer("so EN", stop=("END",))[0] == "so EN"
    assert answer("so END", stop=("END",), max_tokens=5)[0] == "so EN"


def test_no_tokens_at_all_may_be_asked_for() -> None:
    assert answer("one", max_tokens=0) == ("", FinishReason.LENGTH, 0)
