"""Frames: what a worker numbers, the web process puts in order."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from inference.engine.output import PoolingOutput, SequenceOutput
from inference.transport import frame_sender
from inference.transport.frame_receiver import FrameReceiver
from inference.transport.frame_sender import LEASE_S, FrameSender
from inference.transport.messages.events import Frame
from tests.fakes import Clock

if TYPE_CHECKING:
    import pytest


def event(number: int) -> SequenceOutput:
    return SequenceOutput("r", 1, number, 0, tokens=(number,), text=str(number))


def frames(count: int, sender: FrameSender | None = None) -> list[Frame]:
    sender = sender or FrameSender("life")
    made = []
    for number in range(1, count + 1):
        sender.put("web", event(number))
        made += [frame for _, frame in sender.take()]
    return made


def numbers(taken: list[Frame]) -> list[int]:
    return [e.tokens[0] for f in taken for e in f.events]  # type: ignore[union-attr]


def test_events_that_come_meanwhile_share_a_frame() -> None:
    sender = FrameSender("life")
    for number in (1, 2):
        sender.put("web", event(number))
    sender.put("other", event(3))
    taken = dict(sender.take())
    assert numbers([taken["web"]]) == [1, 2]
    assert numbers([taken["other"]]) == [3]
    assert sender.take() == []


def test_frames_are_numbered_per_web_process() -> None:
    sender = FrameSender("life")
    sender.put("web", event(1))
    sender.take()
    sender.put("web", event(2))
    sender.put("other", event(3))
    assert {name: frame.seq for name, frame in sender.take()} == {"web": 2, "other": 1}


def test_frames_can_be_sent_again() -> None:
    sender = FrameSender("life")
    frames(5, sender)
    assert numbers(list(sender.sent_from("web", 3))) == [3, 4, 5]
    assert list(sender.sent_from("nobody", 1)) == []


def test_only_a_limited_size_of_vectors_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(frame_sender, "_KEPT_BYTES", 100)
    sender = FrameSender("life")
    for _ in range(9):
        sender.put("web", PoolingOutput("r", 1, (b"x" * 20, b"x" * 20)))
        sender.take()
    assert [frame.seq for frame in sender.sent_from("web", 1)] == [8, 9]


def test_a_web_process_that_is_silent_is_forgotten() -> None:
    clock = Clock()
    sender = FrameSender("life", clock=clock)
    sender.put("silent", event(1))
    sender.put("alive", event(1))
    clock.now += LEASE_S - 1
    sender.renew("alive")
    clock.now += 2
    assert sender.expired() == ["silent"]
    assert sender.expired() == []
    assert list(sender.sent_from("silent", 1)) == []


def test_a_web_process_that_was_only_idle_takes_the_count_up_again() -> None:
    clock = Clock()
    sender = FrameSender("life", clock=clock)
    receiver = FrameReceiver(clock=clock)
    for frame in frames(3, sender):
        receiver.put(frame)
    clock.now += LEASE_S + 1
    assert sender.expired() == ["web"]
    sender.renew("web")
    sender.put("web", event(4))
    ((_, frame),) = sender.take()
    assert numbers(receiver.put(frame)) == [4]
    assert sender.expired() == []


def test_frames_in_order_pass_at_once() -> None:
    receiver = FrameReceiver()
    for frame in frames(3):
        assert receiver.put(frame) == [frame]
        assert receiver.missing(frame) is None


def test_a_lost_frame_is_asked_for_once_and_then_all_come_in_order() -> None:
    receiver = FrameReceiver()
    first, second, third, fourth = frames(4)
    receiver.put(first)
    assert receiver.put(third) == []
    assert receiver.missing(third) == 2
    assert receiver.put(fourth) == []
    assert receiver.missing(fourth) is None
    assert numbers(receiver.put(second)) == [2, 3, 4]
    assert receiver.missing(second) is None


def test_a_lost_last_frame_is_noticed_by_the_heartbeat() -> None:
    receiver = FrameReceiver()
    sender = FrameSender("life")
    first, _lost = frames(2, sender)
    receiver.put(first)
    head = sender.count_frame("web")
    assert receiver.put(head) == []
    assert receiver.missing(head) == 2
    # The answer may be lost as well.
    assert receiver.missing(head) == 2


def test_a_frame_that_comes_twice_is_taken_once() -> None:
    receiver = FrameReceiver()
    (first,) = frames(1)
    receiver.put(first)
    assert receiver.put(first) == []


def test_frames_in_any_order_come_out_in_order() -> None:
    made = frames(30)
    shuffled = [*made, *made[::3]]
    random.Random(1).shuffle(shuffled)
    receiver = FrameReceiver()
    taken = [frame for f in shuffled for frame in receiver.put(f)]
    assert numbers(taken) == list(range(1, 31))


def test_a_gap_that_stays_open_means_that_events_are_lost() -> None:
    clock = Clock()
    receiver = FrameReceiver(clock=clock)
    _lost, second = frames(2)
    receiver.put(second)
    receiver.missing(second)
    assert not receiver.is_broken("life")
    clock.now += 6
    assert receiver.is_broken("life")
    receiver.forget("life")
    assert not receiver.is_broken("life")


def test_a_worker_that_counts_from_zero_has_forgotten_us() -> None:
    receiver = FrameReceiver()
    for frame in frames(3):
        receiver.put(frame)
    receiver.put(Frame("life", "control", 0, ()))
    assert receiver.is_broken("life")


def test_a_broken_line_of_a_living_worker_takes_what_comes_next() -> None:
    clock = Clock()
    receiver = FrameReceiver(clock=clock)
    first, _lost, third, fourth, fifth = frames(5)
    receiver.put(first)
    receiver.put(third)
    receiver.missing(third)
    clock.now += 6
    assert receiver.is_broken("life")
    receiver.resync("life")
    assert not receiver.is_broken("life")
    assert numbers(receiver.put(fourth)) == [4]
    assert receiver.missing(fourth) is None
    assert numbers(receiver.put(fifth)) == [5]


def test_a_forgotten_worker_is_asked_for_nothing() -> None:
    receiver = FrameReceiver()
    _lost, second = frames(2)
    receiver.put(second)
    receiver.forget("life")
    assert receiver.missing(second) is None


def test_the_receiver_knows_how_long_a_worker_is_silent() -> None:
    clock = Clock()
    receiver = FrameReceiver(clock=clock)
    assert receiver.silent_for("life") == float("inf")
    receiver.put(frames(1)[0])
    clock.now += 3
    assert receiver.silent_for("life") == 3
