"""Only whole answers count."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.client.answers import WrongAnswer, parse_stream
from tests.benchmarks.fakes import make_call

DONE = b"[DONE]"


def content(text: str | None) -> bytes:
    return chunk(choices=[{"delta": {"content": text}, "finish_reason": None}])


def end(reason: str = "length") -> bytes:
    return chunk(choices=[{"delta": {}, "finish_reason": reason}])


def usage(completion_tokens: int = 3) -> bytes:
    return chunk(
        choices=[],
        usage={
            "prompt_tokens": 12,
            "completion_tokens": completion_tokens,
            "prompt_tokens_details": {"cached_tokens": 8},
        },
    )


def chunk(**members: Any) -> bytes:
    return json.dumps(members).encode()


def stamped(*events: bytes) -> list[tuple[float, bytes]]:
    """Return the events, one a second."""
    return list(enumerate(events, 1))


WHOLE = (content(None), content("a"), content("b"), content("c"), end(), usage(), DONE)


def test_a_whole_answer_is_read() -> None:
    answer = parse_stream(make_call(), 0.5, stamped(*WHOLE))
    assert answer.text == "abc"
    assert answer.arrivals_s == (2, 3, 4)
    assert answer.ttft_s == 1.5
    assert answer.latency_s == 3.5
    assert answer.gaps == [(3, 1), (4, 1)]
    assert (answer.prompt_tokens, answer.cached_tokens) == (12, 8)


def test_an_event_may_carry_several_tokens() -> None:
    events = stamped(content("ab"), content("c"), end(), usage(), DONE)
    answer = parse_stream(make_call(), 0, events)
    assert answer.completion_tokens == 3
    assert len(answer.arrivals_s) == 2


def test_a_single_token_without_text_comes_with_the_end() -> None:
    events = stamped(content(None), end(), usage(1), DONE)
    answer = parse_stream(make_call(max_tokens=1), 0.5, events)
    assert (answer.text, answer.ttft_s) == ("", 1.5)


def test_without_usage_the_finish_reason_gives_the_token_count() -> None:
    events = stamped(content("a"), content("b"), content("c"), end(), DONE)
    answer = parse_stream(make_call(), 0, events, has_usage=False)
    assert answer.completion_tokens == 3
    assert answer.prompt_tokens is None


@pytest.mark.parametrize(
    ("events", "problem"),
    [
        ((), "nothing"),
        (WHOLE[:-1], "not with"),
        ((*WHOLE[:-2], DONE), "no usage"),
        ((*WHOLE[:-3], usage(), DONE), "finish reasons are \\[\\]"),
        ((*WHOLE[:-2], end(), usage(), DONE), "finish reasons are"),
        ((*WHOLE[:-3], end("stop"), usage(), DONE), "stop after 3 of 3"),
        ((*WHOLE[:-3], end("error"), usage(), DONE), "finish reasons are"),
        ((*WHOLE[:-2], usage(2), DONE), "2 tokens in 3 events"),
        ((*WHOLE[:-2], usage(4), DONE), "4 tokens in 3 events"),
        ((content("a"), end(), usage(2), DONE), "length after 2 of 3"),
        ((content(""), end(), usage(), DONE), "no event carries text"),
        ((chunk(error={"message": "gone"}), DONE), "gone"),
    ],
)
def test_incomplete_streams_are_refused(
    events: tuple[bytes, ...], problem: str
) -> None:
    with pytest.raises(WrongAnswer, match=problem):
        parse_stream(make_call(), 0, stamped(*events))


def test_an_answer_that_need_not_be_exact_may_stop_early() -> None:
    events = stamped(content("a"), end("stop"), usage(2), DONE)
    answer = parse_stream(make_call(exact=False), 0, events)
    assert answer.completion_tokens == 2


def test_an_answer_that_need_not_be_exact_may_be_empty() -> None:
    events = stamped(end("stop"), usage(1), DONE)
    assert parse_stream(make_call(exact=False), 0, events).text == ""
