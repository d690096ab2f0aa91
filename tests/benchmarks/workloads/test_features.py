"""The workloads of features send what they promise, and count no wrong answer."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from benchmarks.client.answers import Answer, Call, WrongAnswer
from benchmarks.options.commands import CompareOptions, EmbeddingOptions
from benchmarks.options.parsing import parse
from benchmarks.workloads.features import (
    Constrained,
    CopyEditing,
    Logprobs,
    check_copy,
    check_value,
)
from tests.benchmarks.fakes import FakeTarget

if TYPE_CHECKING:
    from collections.abc import Callable

VALUE = json.dumps(
    {
        "customer_identifier": 1234,
        "subscription_status": "active",
        "notification_preferences": {
            "email_notifications": True,
            "text_message_notifications": False,
        },
        "shipping_department": "west",
    }
)


class Featured(FakeTarget):
    """Answers as the features want it."""

    async def ask(
        self, call: Call, *, on_text: Callable[[], None] | None = None
    ) -> Answer:
        answer = await super().ask(call, on_text=on_text)
        copied = len(call.messages) == 3
        text = call.messages[1].content if copied else answer.text
        text = VALUE if "response_format" in call.sampling else text
        count = call.max_tokens if "logprobs" in call.sampling else 0
        return replace(answer, text=text, logprobs=count)


async def test_constrained_answers_come_after_free_ones() -> None:
    target = Featured()
    figures = await Constrained("c", streams=2).run(target, "salt")
    asked = ["response_format" in call.sampling for call in target.calls]
    assert asked == [False, False, True, True]
    assert [call.exact for call in target.calls] == [True, True, False, False]
    assert {"tokens", "tokens_per_s", "free_rate", "to_free"} <= set(figures)


async def test_an_answer_that_does_not_match_the_schema_is_not_counted() -> None:
    check_value(VALUE)
    for wrong in ("{}", VALUE[:-1], VALUE.replace("west", "up")):
        with pytest.raises(WrongAnswer, match="does not match"):
            check_value(wrong)
    with pytest.raises(WrongAnswer):
        await Constrained("c", streams=1).run(FakeTarget(), "salt")


async def test_probabilities_of_every_token_are_wanted() -> None:
    target = Featured()
    await Logprobs("l", streams=2).run(target, "salt")
    assert [call.sampling.get("top_logprobs") for call in target.calls] == [
        *[None, None],
        *[5, 5],
    ]
    with pytest.raises(WrongAnswer, match="probabilities of 0 tokens"):
        await Logprobs("l", streams=1).run(FakeTarget(), "salt")


async def test_what_is_predicted_is_the_text_before_it_was_edited() -> None:
    target = Featured()
    await CopyEditing("d").run(target, "salt")
    free, predicted = target.calls
    assert free.messages == predicted.messages
    assert "prediction" not in free.sampling
    written = free.messages[1].content.split()
    prediction = predicted.sampling["prediction"]["content"].split()
    pairs = zip(written, prediction, strict=True)
    assert sum(one != other for one, other in pairs) == len(written) // 25


async def test_a_copy_may_slip_but_not_wander() -> None:
    check_copy("a b c d e f g h i j", "a b c d x e f g h i")
    with pytest.raises(WrongAnswer, match="no copy"):
        check_copy("a b c d e f g h i j", "a b c c c c c")
    with pytest.raises(WrongAnswer, match="no copy"):
        await CopyEditing("d").run(FakeTarget(), "salt")


def test_features_and_embeddings_are_commands() -> None:
    features = parse(["features", "--workloads", "drafts", "--rounds", "2"])
    assert isinstance(features, CompareOptions)
    assert [workload.name for workload in features.workloads] == ["drafts"]
    assert features.systems == ("ours", "llama-server")
    embeddings = parse(["embeddings", "--batch", "4"])
    assert embeddings == EmbeddingOptions(requests=8, batch=4, tokens=64, rounds=3)
