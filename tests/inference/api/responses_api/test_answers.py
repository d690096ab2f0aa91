"""What a response has besides its text: logprobs, schemas, sealed reasoning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from inference.api.responses_api.body.sealing import Unreadable, seal, unseal
from tests.fakes import begun, finished, tokens
from tests.inference.api.responses_api.helpers import create, stream
from tests.inference.api.streaming.test_logprobs import (
    END,
    HELLO,
    WORLD,
    ended,
    sampled,
    token_logprobs,
)
from tests.inference.api.tool_models import THINK, make_tool_model, template_of

if TYPE_CHECKING:
    from tests.fakes import FakeEngineClient
    from tests.inference.api.conftest import Api

LOGPROBS = {"include": ["message.output_text.logprobs"]}


def names(logprobs: list[Any]) -> list[str]:
    return [each["token"] for each in logprobs]


async def test_logprobs_come_with_the_text(api: Api, engine: FakeEngineClient) -> None:
    for _ in range(2):
        engine.enqueue(begun(), [sampled(HELLO)], [sampled(WORLD), ended(END)])

    response = await create(api, top_logprobs=1, **LOGPROBS)
    events = await stream(api, top_logprobs=1, **LOGPROBS)

    (part,) = response["output"][0]["content"]
    assert names(part["logprobs"]) == ["Hello", " world"]
    assert part["logprobs"][0]["top_logprobs"][0]["token"] == "Hello"
    deltas = [names(each["logprobs"]) for each in events if "delta" in each]
    assert deltas == [["Hello"], [" world"]]
    (done,) = [each for each in events if each["type"].endswith("text.done")]
    assert names(done["logprobs"]) == ["Hello", " world"]
    assert engine.requests[0].params.logprobs == 1


async def test_logprobs_are_those_of_the_message_alone(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("thinker", template=THINK + template_of("hermes"))
    pieces = ("<think>", "Hello?", "</think>", "Hello", " world")
    written = [sampled(token_logprobs(piece, -0.5)) for piece in pieces]
    for _ in range(2):
        engine.enqueue(begun(), *([each] for each in written), [finished()])

    response = await create(api, model="thinker", **LOGPROBS)
    events = await stream(api, model="thinker", **LOGPROBS)

    for final in (response, events[-1]["response"]):
        (part,) = final["output"][1]["content"]
        assert names(part["logprobs"]) == ["Hello", " world"]


async def test_a_schema_is_enforced(api: Api, engine: FakeEngineClient) -> None:
    engine.enqueue(begun(), [tokens('{"a": 1}'), finished()])
    schema = {
        "type": "json_schema",
        "name": "thing",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"a": {"type": "integer"}},
            "required": ["a"],
            "additionalProperties": False,
        },
    }

    response = await create(api, text={"format": schema})

    grammar = engine.requests[0].params.grammar
    assert grammar is not None
    assert '"integer"' in grammar.source
    assert response["text"]["format"]["schema"] == schema["schema"]


def test_what_is_sealed_is_read_by_its_owner_alone() -> None:
    sealed = seal("A thought. 😀", "7")

    assert unseal(sealed, "7") == "A thought. 😀"
    assert seal("A thought. 😀", "7") != sealed
    with pytest.raises(Unreadable):
        unseal(sealed, "8")


@pytest.mark.parametrize("text", ["", "é", "AAAA", "not base64", "A" * 100])
def test_what_was_not_sealed_here_is_not_read(text: str) -> None:
    with pytest.raises(Unreadable):
        unseal(text, "7")


def test_a_sealed_text_that_was_changed_is_not_read(settings: Any) -> None:
    sealed = seal("A thought.", "7")
    changed = sealed[:-6] + ("A" if sealed[-6] != "A" else "B") + sealed[-5:]

    with pytest.raises(Unreadable):
        unseal(changed, "7")
    settings.SECRET_KEY = "another"
    with pytest.raises(Unreadable):
        unseal(sealed, "7")
