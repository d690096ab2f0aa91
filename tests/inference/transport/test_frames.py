"""Frames: what a worker numbers, the web process puts in order."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

import pytest

from inference.engine.output import PoolingOutput, SequenceOutput
from inference.engine.sampling.logprobs import TokenLogprob, TokenLogprobs
from inference.transport import frame_receiver, frame_sender
from inference.transport.frame_receiver import _HELD_FRAMES, FrameReceiver
from inference.transport.frame_sender import (
    _KEPT_FRAMES,
    DEAF_BEATS,
    LEASE_BEATS,
    FrameSender,
)
from inference.transport.messages.events import Detokenized, Tokenized
from tests.fakes import Clock

if TYPE_CHECKING:
    from inference.transport.messages.events import Event, Frame, LineState


def event(number: int) -> SequenceOutput:
    return SequenceOutput("r", 1, number, 0, tokens=(number,), text=str(number))


def frames(count: int, sender: FrameSender | None = None) -> list[Frame]:
    sender = sender or FrameSender("life")
    made = []
    for number in range(1, count + 1):
        sender.put("web", event(number))
        made += [frame for _, frame in sender.take()]
    return made


def expire(sender: FrameSender) -> None:
    """Let the lease of the silent web process run out."""
    while "web" not in sender.beat():
        pass


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


_LOGPROBS = (TokenLogprobs(TokenLogprob(1, b"a", -0.1), ()),) * 500


@pytest.mark.parametrize(
    "large",
    [
        PoolingOutput("r", 1, (b"x" * 50_000, b"x" * 50_000)),
        SequenceOutput("r", 500, 1, 0, prompt_logprobs=_LOGPROBS),
        SequenceOutput("r", 1, 500, 0, logprobs=_LOGPROBS),
        Tokenized("r", (1,) * 1250, (b"a",) * 1250),
        Detokenized("r", "x" * 100_000),
    ],
)
def test_only_a_limited_size_of_events_is_kept(
    monkeypatch: pytest.MonkeyPatch, large: Event
) -> None:
    monkeypatch.setattr(frame_sender, "_KEPT_BYTES", 250_000)
    sender = FrameSender("life")
    for _ in range(9):
        sender.put("web", large)
        sender.take()
    assert [frame.seq for frame in sender.sent_from("web", 1)] == [8, 9]


def test_a_web_process_that_is_silent_is_forgotten() -> None:
    sender = FrameSender("life")
    sender.put("silent", event(1))
    sender.put("alive", event(1))
    for _ in range(LEASE_BEATS):
        assert sender.beat() == []
    sender.renew("alive")
    assert sender.beat() == ["silent"]
    assert sender.beat() == []
    assert list(sender.sent_from("silent", 1)) == []


def test_a_web_process_without_a_subscription_is_gone_after_a_few_beats() -> None:
    sender = FrameSender("life")
    sender.renew("dead")
    sender.renew("there")
    for _ in range(DEAF_BEATS - 1):
        assert sender.beat({"dead"}) == []
    # It was only away: Redis had been restarted.
    assert sender.beat() == []
    for _ in range(DEAF_BEATS - 1):
        assert sender.beat({"dead"}) == []
    assert sender.beat({"dead"}) == ["dead"]
    assert sender.channels == ["there"]


def test_a_web_process_that_comes_back_gets_another_line() -> None:
    sender = FrameSender("life")
    lost: list[str] = []
    receiver = FrameReceiver(on_restart=lost.append)
    *_, last = [receiver.put(frame) for frame in frames(3, sender)]
    assert numbers(last) == [3]
    expire(sender)
    sender.put("web", event(4))
    ((_, frame),) = sender.take()
    assert numbers(receiver.put(frame)) == [4]
    assert lost == ["life"]


def test_a_web_process_that_comes_back_learns_that_its_requests_are_gone() -> None:
    sender = FrameSender("life")
    lost: list[str] = []
    receiver = FrameReceiver(on_restart=lost.append)
    for frame in frames(3, sender):
        receiver.put(frame)
    expire(sender)
    sender.renew("web")
    state = sender.state("web")
    receiver.put(state)
    assert lost == ["life"]
    assert receiver.is_level(state)
    assert state.requests == ()


def test_frames_of_a_line_that_has_ended_are_dropped() -> None:
    sender = FrameSender("life")
    receiver = FrameReceiver()
    old = frames(5, sender)
    for frame in old[:3]:
        receiver.put(frame)
    expire(sender)
    (new,) = frames(1, sender)
    assert receiver.put(new) == [new]
    assert receiver.put(old[3]) == []
    assert receiver.missing(old[3]) is None
    assert not receiver.unsettled()


def test_a_request_counts_until_its_last_event_is_in_a_frame() -> None:
    sender = FrameSender("life")
    sender.put("web", event(1))
    assert sender.state("web", ["other"]).requests == ("other", "r")
    sender.take()
    assert sender.state("web", ["other"]).requests == ("other",)


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


def test_a_lost_last_frame_is_noticed_by_the_state_of_the_line() -> None:
    receiver = FrameReceiver()
    sender = FrameSender("life")
    first, _lost = frames(2, sender)
    receiver.put(first)
    state = sender.state("web")
    assert receiver.put(state) == []
    assert receiver.missing(state) == 2
    # The answer may be lost as well.
    assert receiver.missing(state) == 2
    assert not receiver.is_level(state)


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


def test_a_gap_that_stays_open_is_given_up_and_the_line_goes_on() -> None:
    clock = Clock()
    lost: list[str] = []
    sender = FrameSender("life")
    receiver = FrameReceiver(on_restart=lost.append, clock=clock)
    first, _lost, third = frames(3, sender)
    for frame in (first, third):
        receiver.put(frame)
        receiver.missing(frame)
    assert receiver.unsettled() == {""}
    clock.now += 4
    receiver.put(sender.state("web"))
    assert lost == []
    clock.now += 2
    receiver.put(sender.state("web"))
    assert lost == ["life"]
    assert not receiver.unsettled()
    (fourth,) = frames(1, sender)
    assert receiver.put(fourth) == [fourth]


def test_frames_that_the_worker_no_longer_has_are_given_up_at_once() -> None:
    lost: list[str] = []
    sender = FrameSender("life")
    receiver = FrameReceiver(on_restart=lost.append)
    made = frames(_KEPT_FRAMES + 10, sender)
    receiver.put(made[0])
    state = sender.state("web")
    assert state.kept_from == 11
    receiver.put(state)
    assert lost == ["life"]
    assert receiver.is_level(state)


def test_a_worker_that_was_forgotten_is_heard_again() -> None:
    sender = FrameSender("life")
    receiver = FrameReceiver()
    for frame in frames(_KEPT_FRAMES + 476, sender):
        receiver.put(frame)
    receiver.forget("life")
    (next_one,) = frames(1, sender)
    assert receiver.put(next_one) == []
    # The worker has no frame 1 any more and answers with the state.
    assert receiver.missing(next_one) == 1
    receiver.put(sender.state("web"))
    later = frames(200, sender)
    assert [receiver.put(frame) for frame in later] == [[frame] for frame in later]
    assert not receiver.unsettled()


def test_a_forgotten_worker_whose_frames_are_all_kept_sends_them_again() -> None:
    sender = FrameSender("life")
    receiver = FrameReceiver()
    for frame in frames(5, sender):
        receiver.put(frame)
    receiver.forget("life")
    (next_one,) = frames(1, sender)
    receiver.put(next_one)
    missing = receiver.missing(next_one)
    assert missing == 1
    taken = [f for kept in sender.sent_from("web", 1) for f in receiver.put(kept)]
    assert [frame.seq for frame in taken] == [1, 2, 3, 4, 5, 6]


def test_only_so_many_frames_are_held_behind_a_gap() -> None:
    sender = FrameSender("life")
    lost: list[str] = []
    receiver = FrameReceiver(on_restart=lost.append)
    _lost, *made = frames(3 * _HELD_FRAMES, sender)
    most = 0
    for frame in made:
        assert receiver.put(frame) == []
        most = max(most, len(receiver._lines["life"].held))
    assert most <= _HELD_FRAMES + 1
    assert receiver.unsettled()
    receiver.put(sender.state("web"))
    assert lost == ["life"]
    (next_one,) = frames(1, sender)
    assert receiver.put(next_one) == [next_one]


def test_only_so_many_bytes_are_held_behind_a_gap(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(frame_receiver, "_HELD_BYTES", 100)
    sender = FrameSender("life")
    receiver = FrameReceiver()
    for _ in range(9):
        sender.put("web", PoolingOutput("r", 1, (b"x" * 20, b"x" * 20)))
    sender.take()
    for _ in range(4):
        sender.put("web", PoolingOutput("r", 1, (b"x" * 20, b"x" * 20)))
        ((_, frame),) = sender.take()
        receiver.put(frame)
        assert receiver._lines["life"].held_bytes <= 100
    assert not receiver._lines["life"].held


def test_a_worker_that_is_silent_for_long_is_forgotten() -> None:
    clock = Clock()
    receiver = FrameReceiver(clock=clock)
    receiver.put(frames(1)[0])
    clock.now += 599
    receiver.forget_silent()
    assert receiver.silent_for("life") == 599
    clock.now += 2
    receiver.forget_silent()
    assert receiver.silent_for("life") == float("inf")


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_lost_the_line_goes_on_in_order(seed: int) -> None:
    """Frames, states and answers get lost or late; leases end; workers are forgotten.

    What is taken of a line is in order and never twice, and once nothing is lost any
    more, every later frame arrives.
    """
    chance = random.Random(seed)
    clock = Clock()
    sender = FrameSender("life")
    taken: list[int] = []
    restarts: list[int] = []
    receiver = FrameReceiver(
        on_restart=lambda _: restarts.append(len(taken)), clock=clock
    )
    number = 0

    def arrive(message: Frame | LineState, loss: float) -> None:
        if chance.random() < loss:
            return
        taken.extend(numbers(receiver.put(message)))
        missing = receiver.missing(message)
        if missing is None or chance.random() < loss:
            return
        state = sender.state("web")
        again = (
            [state]
            if missing < state.kept_from
            else list(sender.sent_from("web", missing))
        )
        for each in again:
            if chance.random() >= loss:
                taken.extend(numbers(receiver.put(each)))

    def send(count: int, loss: float) -> None:
        nonlocal number
        for _ in range(count):
            number += 1
            sender.put("web", event(number))
            for _, frame in sender.take():
                arrive(frame, loss)

    for _ in range(30):
        send(chance.choice((1, 5, 50, 1500)), chance.choice((0, 0.1, 1)))
        clock.now += chance.choice((0.1, 1, 6))
        happens = chance.random()
        if happens < 0.1:
            receiver.forget("life")
            restarts.append(len(taken))
        elif happens < 0.2:
            expire(sender)
        arrive(sender.state("web"), 0.3)
    for _ in range(3):
        arrive(sender.state("web"), 0)
    bounds = [0, *restarts, len(taken)]
    for begin, end in itertools.pairwise(bounds):
        part = taken[begin:end]
        assert part == sorted(set(part))
    before = number
    send(50, 0)
    assert taken[-50:] == list(range(before + 1, number + 1))


def test_the_receiver_knows_how_long_a_worker_is_silent() -> None:
    clock = Clock()
    receiver = FrameReceiver(clock=clock)
    assert receiver.silent_for("life") == float("inf")
    receiver.put(frames(1)[0])
    clock.now += 3
    assert receiver.silent_for("life") == 3
