"""What is read of upstreams' answers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.upstreams.answers import READERS, ChoicesReader, error_text

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "usage",
                    "choices",
                    "delta",
                    "message",
                    "content",
                    "response",
                    "error",
                    "prompt_tokens",
                    "input_tokens",
                    "tool_calls",
                    "function",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.sampled_from(sorted(READERS)), st.dictionaries(st.text(), _JSON), _JSON)
def test_nothing_that_an_upstream_sends_makes_a_reader_fail(
    api: str, plain: dict[str, Any], value: Any
) -> None:
    reader = READERS[api]()
    for each in (plain, value, {"choices": value}, {"type": "message_start", **plain}):
        if isinstance(each, dict):
            reader.event(each)
            reader.whole(each)
    assert reader.reading.estimated_completion() >= 0


@pytest.mark.parametrize(
    ("api", "answer", "counts"),
    [
        (
            "chat",
            {
                "usage": {
                    "prompt_tokens": 9,
                    "completion_tokens": 4,
                    "prompt_tokens_details": {"cached_tokens": 5},
                    "completion_tokens_details": {"reasoning_tokens": 3},
                }
            },
            (9, 5, 4, 3),
        ),
        ("embeddings", {"usage": {"prompt_tokens": 3}}, (3, 0, None, 0)),
        ("rerank", {"usage": {"total_tokens": 8}}, (8, 0, None, 0)),
        (
            "messages",
            {
                "usage": {
                    "input_tokens": 2,
                    "cache_read_input_tokens": 10,
                    "cache_creation_input_tokens": 1,
                    "output_tokens": 6,
                }
            },
            (13, 10, 6, 0),
        ),
        (
            "responses",
            {
                "usage": {
                    "input_tokens": 4,
                    "input_tokens_details": {"cached_tokens": 1},
                    "output_tokens": 2,
                    "output_tokens_details": {"reasoning_tokens": 1},
                }
            },
            (4, 1, 2, 1),
        ),
        ("chat", {"usage": {"prompt_tokens": -1, "completion_tokens": True}}, None),
    ],
)
def test_usage_is_read_in_each_apis_words(
    api: str, answer: dict[str, Any], counts: tuple[Any, ...] | None
) -> None:
    reader = READERS[api]()
    reader.whole(answer)
    found = reader.reading
    expected = counts or (None, 0, None, 0)
    assert (found.prompt, found.cached, found.completion, found.reasoning) == expected


def test_the_tokens_of_sounds_are_read() -> None:
    reader = READERS["chat"]()
    reader.whole(
        {"usage": {"prompt_tokens": 9, "prompt_tokens_details": {"audio_tokens": 7}}}
    )
    assert (reader.reading.prompt, reader.reading.audio) == (9, 7)


def test_a_stream_of_two_answers_is_over_when_both_are() -> None:
    reader = ChoicesReader(n=2)
    for index in (0, 1):
        assert not reader.reading.is_complete
        reader.event({"choices": [{"index": index, "finish_reason": "stop"}]})
    assert reader.reading.is_complete


@pytest.mark.parametrize(
    "error",
    [{"message": "no"}, "no", {"error": {"message": "no"}}, {"detail": "no"}],
)
def test_an_errors_message_is_found_in_each_servers_shape(error: Any) -> None:
    assert error_text(error) == "no"
