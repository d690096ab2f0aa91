"""Streams of bytes cut into events."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.upstreams.sse import (
    MAX_EVENT_BYTES,
    EventSplitter,
    EventTooLong,
    data_of,
)

STREAM = (
    b'data: {"a": 1}\n\n: ping\r\n\r\nevent: x\ndata: 1\ndata:2\n\ndata: [DONE]\n\n'
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_events_are_the_same_however_they_come(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    splitter = EventSplitter()
    events: list[bytes] = []
    for start, end in itertools.pairwise(places):
        events += splitter.put(STREAM[start:end])
    assert b"".join(events) == STREAM
    assert [data_of(event) for event in events] == [
        b'{"a": 1}',
        b"",
        b"1\n2",
        b"[DONE]",
    ]
    assert splitter.rest == b""


def test_an_event_that_does_not_end_is_refused() -> None:
    splitter = EventSplitter()
    with pytest.raises(EventTooLong):
        list(splitter.put(b"x" * (MAX_EVENT_BYTES + 1)))
