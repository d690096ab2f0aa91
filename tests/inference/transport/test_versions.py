"""Processes of different versions of the wire protocol, side by side."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from inference.engine.request import TokenizationRequest
from inference.transport.codec import (
    OLDEST,
    VERSION,
    NewerMessage,
    ProtocolError,
    from_wire,
    to_wire,
    version_needed,
)
from inference.transport.messages.events import Accepted, Frame
from inference.transport.messages.peers import WorkerHeartbeat
from inference.transport.messages.requests import QueuedRequest

NEWER = VERSION + 1


@dataclass(frozen=True)
class NewerParams:
    """Parameters as a later version has them."""

    temperature: float = 1.0
    tricks: int = field(default=0, metadata={"needs_version": NEWER})


@dataclass(frozen=True)
class NewerRequest:
    """A request as a later version has it."""

    request_id: str
    params: NewerParams | tuple[NewerParams, ...] = NewerParams()


def queued(request: Any = None) -> QueuedRequest:
    known = TokenizationRequest("r1", "text", True, False)
    return QueuedRequest(request or known, "reply.1", 12.0)


def frame() -> Frame:
    return Frame("worker", "control.1", 1, 1, (Accepted("r1", 7, node="n1"),))


def test_a_field_that_a_reader_does_not_know_is_left_out() -> None:
    heartbeat = WorkerHeartbeat("queue.1", "worker", "control.1", 2)
    assert from_wire({**to_wire(heartbeat), "mood": "good"}) == heartbeat
    wire = to_wire(frame())
    wire["events"][0].append("of a later version")
    assert from_wire(wire) == frame()


def test_a_field_that_a_writer_does_not_know_has_its_default() -> None:
    wire = to_wire(queued())
    del wire["trace"]
    assert from_wire(wire) == queued()
    wire = to_wire(frame())
    name_and_first_two = 3
    del wire["events"][0][name_and_first_two:]
    assert from_wire(wire).events == (Accepted("r1", 7),)


def test_a_field_without_a_default_has_to_be_there() -> None:
    wire = to_wire(queued())
    del wire["reply_to"]
    with pytest.raises(ProtocolError):
        from_wire(wire)


@pytest.mark.parametrize(
    ("request_", "needed"),
    [
        (NewerRequest("r1"), OLDEST),
        (NewerRequest("r1", NewerParams(0.5)), OLDEST),
        (NewerRequest("r1", NewerParams(tricks=1)), NEWER),
        (NewerRequest("r1", (NewerParams(), NewerParams(tricks=1))), NEWER),
    ],
)
def test_a_request_needs_the_version_of_what_it_asks_for(
    request_: NewerRequest, needed: int
) -> None:
    assert version_needed(queued(request_)) == needed


def test_what_is_written_now_the_oldest_version_can_read() -> None:
    for message in (queued(), frame(), WorkerHeartbeat("q", "w", "c", 1)):
        assert to_wire(message)["v"] == OLDEST


def test_a_message_that_needs_a_later_version_is_no_broken_one() -> None:
    with pytest.raises(NewerMessage):
        from_wire({**to_wire(queued()), "v": NEWER})
    with pytest.raises(ProtocolError) as older:
        from_wire({**to_wire(queued()), "v": OLDEST - 1})
    assert not isinstance(older.value, NewerMessage)
