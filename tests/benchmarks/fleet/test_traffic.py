"""Conversations that the simulation draws."""

from __future__ import annotations

from benchmarks.fleet.traffic import Traffic


def test_each_turn_begins_with_the_one_before_it() -> None:
    traffic = Traffic(nodes=8, replicas=4, seed=1)
    conversation = traffic.begin()
    before = list(conversation.tokens)
    length = traffic.ask(conversation)
    assert length >= 1
    assert conversation.tokens[: len(before)] == before
    assert len(conversation.tokens) > len(before)


def test_every_model_is_asked() -> None:
    traffic = Traffic(nodes=8, replicas=4, seed=1)
    assert {traffic.begin().model for _ in range(50)} == {0, 1}
