"""Outbox and inbox: what a worker numbers, the web process puts in order."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from inference.transport import frame_sender as outbox_module
from inference.transport.frame_receiver import Inbox
from inference.transport.frame_sender import LEASE_S, Outbox
from inference.transport.messages import Embedded, Frame, TokensGenerated
from tests.fakes import Clock

if TYPE_CHECKING:
    import pytest


def event(number: int) -> TokensGenerated:
    return TokensGenerated("r", (number,), str(number))


def frames(count: int, outbox: Outbox | None = None) -> list[Frame]:
    outbox = outbox or Outbox("life", "control")
    made = []
    for number in range(1, count + 1):
        outbox.put("web", event(number))
        made += [frame for _, frame in outbox.take()]
    return made


def numbers(taken: list[Frame]) -> list[int]:
    return [e.tokens[0] for f in taken for e in f.events]  # type: ignore[union-attr]


def test_events_that_come_meanwhile_share_a_frame() -> None:
    outbox = Outbox("life", "control")
    for number in (1, 2):
        outbox.put("web", event(number))
    outbox.put("other", event(3))
    taken = dict(outbox.take())
    assert numbers([taken["web"]]) == [1, 2]
    assert numbers([taken["other"]]) == [3]
    assert outbox.take() == []


def test_frames_are_numbered_per_web_process() -> None:
    outbox = Outbox("life", "control")
    outbox.put("web", event(1))
    outbox.take()
    outbox.put("web", event(2))
    outbox.put("other", event(3))
    assert {name: frame.seq for name, frame in outbox.take()} == {"web": 2, "other": 1}


def test_frames_can_be_had_again() -> None:
    outbox = Outbox("life", "control")
    frames(5, outbox)
    assert numbers(list(outbox.again("web", 3))) == [3, 4, 5]
    assert list(outbox.again("nobody", 1)) == []


def test_of_vectors_only_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "_KEPT_BYTES", 100)
    outbox = Outbox("life", "control")
    for _ in range(9):
        outbox.put("web", Embedded("r", (b"x" * 20, b"x" * 20)))
        outbox.take()
    assert [frame.seq for frame in outbox.again("web", 1)] == [8, 9]


def test_a_web_process_that_is_silent_is_forgotten() -> None:
    clock = Clock()
    outbox = Outbox("life", "control", clock=clock)
    outbox.put("silent", event(1))
    outbox.put("alive", event(1))
    clock.now += LEASE_S - 1
    outbox.renew("alive")
    clock.now += 2
    assert outbox.expired() == ["silent"]
    assert outbox.expired() == []
    assert list(outbox.again("silent", 1)) == []


def test_a_web_process_that_was_only_idle_takes_the_count_up_again() -> None:
    clock = Clock()
    outbox = Outbox("life", "control", clock=clock)
    inbox = Inbox(clock=clock)
    for frame in frames(3, outbox):
        inbox.put(frame)
    clock.now += LEASE_S + 1
    assert outbox.expired() == ["web"]
    outbox.renew("web")
    outbox.put("web", event(4))
    ((_, frame),) = outbox.take()
    assert numbers(inbox.put(frame)) == [4]
    assert outbox.expired() == []


def test_frames_in_order_pass_at_once() -> None:
    inbox = Inbox()
    for frame in frames(3):
        assert inbox.put(frame) == [frame]
        assert inbox.missing(frame) is None


def test_a_lost_frame_is_asked_for_once_and_then_all_come_in_order() -> None:
    inbox = Inbox()
    first, second, third, fourth = frames(4)
    inbox.put(first)
    assert inbox.put(third) == []
    assert inbox.missing(third) == 2
    assert inbox.put(fourth) == []
    assert inbox.missing(fourth) is None
    assert numbers(inbox.put(second)) == [2, 3, 4]
    assert inbox.missing(second) is None


def test_a_lost_last_frame_is_noticed_by_the_heartbeat() -> None:
    inbox = Inbox()
    outbox = Outbox("life", "control")
    first, _lost = frames(2, outbox)
    inbox.put(first)
    head = outbox.head("web")
    assert inbox.put(head) == []
    assert inbox.missing(head) == 2
    # The answer may be lost as well.
    assert inbox.missing(head) == 2


def test_a_frame_that_comes_twice_is_taken_once() -> None:
    inbox = Inbox()
    (first,) = frames(1)
    inbox.put(first)
    assert inbox.put(first) == []


def test_frames_in_any_order_come_out_in_order() -> None:
    made = frames(30)
    shuffled = [*made, *made[::3]]
    random.Random(1).shuffle(shuffled)
    inbox = Inbox()
    taken = [frame for f in shuffled for frame in inbox.put(f)]
    assert numbers(taken) == list(range(1, 31))


def test_a_gap_that_stays_open_means_that_events_are_lost() -> None:
    clock = Clock()
    inbox = Inbox(clock=clock)
    _lost, second = frames(2)
    inbox.put(second)
    inbox.missing(second)
    assert not inbox.is_broken("life")
    clock.now += 6
    assert inbox.is_broken("life")
    inbox.forget("life")
    assert not inbox.is_broken("life")


def test_a_worker_that_counts_anew_has_forgotten_us() -> None:
    inbox = Inbox()
    for frame in frames(3):
        inbox.put(frame)
    inbox.put(Frame("life", "control", 0, ()))
    assert inbox.is_broken("life")


def test_a_broken_line_of_a_living_worker_takes_what_comes_next() -> None:
    clock = Clock()
    inbox = Inbox(clock=clock)
    first, _lost, third, fourth, fifth = frames(5)
    inbox.put(first)
    inbox.put(third)
    inbox.missing(third)
    clock.now += 6
    assert inbox.is_broken("life")
    inbox.resync("life")
    assert not inbox.is_broken("life")
    assert numbers(inbox.put(fourth)) == [4]
    assert inbox.missing(fourth) is None
    assert numbers(inbox.put(fifth)) == [5]


def test_a_forgotten_worker_is_asked_for_nothing() -> None:
    inbox = Inbox()
    _lost, second = frames(2)
    inbox.put(second)
    inbox.forget("life")
    assert inbox.missing(second) is None


def test_the_inbox_knows_how_long_a_worker_is_silent() -> None:
    clock = Clock()
    inbox = Inbox(clock=clock)
    assert inbox.silent_for("life") == float("inf")
    inbox.put(frames(1)[0])
    clock.now += 3
    assert inbox.silent_for("life") == 3
