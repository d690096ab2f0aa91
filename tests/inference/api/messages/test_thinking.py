"""Thoughts in POST /v1/messages, and edits of the context."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from inference.api.messages.signature import (
    ForeignSignature,
    ThinkingSigner,
    WrongSignature,
)
from tests.inference.api.messages.sending import (
    answer,
    assistant,
    events,
    refusal,
    result,
    send,
    text,
    use,
    user,
    whole,
)
from tests.inference.api.tool_models import THINK, make_tool_model, script, template_of

if TYPE_CHECKING:
    from tests.fakes import FakeEngineClient
    from tests.inference.api.conftest import Api

LEFT_OUT = "x-llm-manager-left-out"
ENABLED = {"type": "enabled", "budget_tokens": 1024}
OMITTED = {"type": "adaptive", "display": "omitted"}
#: What Claude Code sends.
UPDATES = {"type": "adaptive", "display": "updates"}
THOUGHT = "<think>Six times seven.</think>42"


@pytest.fixture
async def thinker(api: Api) -> Api:
    """The API with a model that thinks and calls tools."""
    await make_tool_model("hermes", template=THINK + template_of("hermes"))
    return api


async def test_thoughts_come_apart_with_a_signature(
    thinker: Api, engine: FakeEngineClient
) -> None:
    script(engine, THOUGHT)
    found = await answer(thinker, model="hermes", thinking=ENABLED)
    script(engine, THOUGHT)
    streamed = whole(await events(thinker, model="hermes", thinking=ENABLED))

    for message in (found, streamed):
        thinking, said = message["content"]
        assert (thinking["type"], thinking["thinking"]) == (
            "thinking",
            "Six times seven.",
        )
        assert thinking["signature"]
        assert said["text"] == "42"
        assert message["usage"]["output_tokens_details"]["thinking_tokens"] > 0
    assert found["content"] == streamed["content"]
    assert engine.requests[0].params.thinking.max_tokens == 1024


@pytest.mark.parametrize("thinking", [None, {"type": "disabled"}])
async def test_who_does_not_ask_for_thoughts_gets_none(
    thinker: Api, engine: FakeEngineClient, thinking: Any
) -> None:
    script(engine, THOUGHT)

    found = await answer(thinker, model="hermes", thinking=thinking)

    assert [block["type"] for block in found["content"]] == ["text"]
    assert engine.requests[0].params.thinking.max_tokens == 0


@pytest.mark.parametrize("thinking", [ENABLED, OMITTED, UPDATES])
async def test_thoughts_go_back_to_the_model_shown_or_not(
    thinker: Api, engine: FakeEngineClient, thinking: Any
) -> None:
    script(engine, THOUGHT)
    found = await answer(thinker, model="hermes", thinking=thinking)
    is_shown = bool(found["content"][0]["thinking"])
    assert is_shown is (thinking is ENABLED)

    response = await send(
        thinker,
        user("6 x 7?"),
        assistant(found["content"]),
        user("Sure?"),
        model="hermes",
    )

    assert response.status_code == 200, response.content
    assert not response.has_header(LEFT_OUT)
    assert "42[" not in engine.requests[1].prompt
    assert "Six times seven." in engine.requests[1].prompt


async def test_thoughts_of_another_server_are_left_out_and_said(
    thinker: Api, engine: FakeEngineClient
) -> None:
    foreign = {"type": "thinking", "thinking": "Deep.", "signature": "EqQBCgIYAhIM"}
    redacted = {"type": "redacted_thinking", "data": "EmwKAhgBEgy"}

    response = await send(
        thinker,
        user("Hi"),
        assistant([foreign, redacted, text("Hello")]),
        user("And?"),
        model="hermes",
    )

    assert response[LEFT_OUT] == "messages[1].content[0], messages[1].content[1]"
    assert "Deep." not in engine.requests[0].prompt


async def test_thoughts_that_were_changed_are_refused(
    thinker: Api, engine: FakeEngineClient
) -> None:
    script(engine, THOUGHT)
    content = (await answer(thinker, model="hermes", thinking=ENABLED))["content"]
    content[0]["thinking"] = "Six times eight."

    said = await refusal(
        thinker, user("Hi"), assistant(content), user("And?"), model="hermes"
    )

    assert "Invalid 'signature' in 'messages[1].content[0]'" in said


async def test_a_model_that_does_not_think_says_so(api: Api) -> None:
    response = await send(api, thinking=OMITTED, output_config={"effort": "high"})

    assert response.status_code == 200
    assert set(response[LEFT_OUT].split(", ")) == {"thinking", "output_config.effort"}


async def test_an_effort_without_thinking_has_no_effect_and_that_is_said(
    thinker: Api,
) -> None:
    response = await send(thinker, model="hermes", output_config={"effort": "low"})

    assert response[LEFT_OUT] == "output_config.effort"


# Edits of the context -----------------------------------------------------------


async def test_thoughts_of_older_answers_are_cleared(
    thinker: Api, engine: FakeEngineClient
) -> None:
    script(engine, THOUGHT)
    content = (await answer(thinker, model="hermes", thinking=ENABLED))["content"]
    script(engine, THOUGHT.replace("Six times", "Times"))
    newer = (await answer(thinker, model="hermes", thinking=ENABLED))["content"]
    turns = [user("Hi"), assistant(content), user("So?"), assistant(newer), user("?")]
    edit = {"type": "clear_thinking_20251015"}
    one = {"type": "thinking_turns", "value": 1}

    for keep, count in (({"keep": "all"}, 2), ({"keep": one}, 1), ({}, 1)):
        found = await answer(
            thinker,
            *turns,
            model="hermes",
            context_management={"edits": [{**edit, **keep}]},
        )
        assert engine.requests[-1].prompt.lower().count("times seven") == count
        applied = found["context_management"]["applied_edits"]
        assert [each["cleared_thinking_turns"] for each in applied] == [1] * (2 - count)


async def test_results_of_older_calls_are_cleared_once_there_are_many(
    thinker: Api, engine: FakeEngineClient
) -> None:
    turns = [user("Hi")]
    for number in range(4):
        turns += [
            assistant([use("look", number, place=f"in{number}")]),
            user([result(f"found{number}", number)]),
        ]
    edit = {
        "type": "clear_tool_uses_20250919",
        "trigger": {"type": "tool_uses", "value": 3},
        "keep": {"type": "tool_uses", "value": 1},
        "clear_tool_inputs": ["look"],
    }

    found = whole(
        await events(
            thinker, *turns, model="hermes", context_management={"edits": [edit]}
        )
    )

    prompt = engine.requests[-1].prompt
    assert [f"found{number}" in prompt for number in range(4)] == [False] * 3 + [True]
    assert [f"in{number}" in prompt for number in range(4)] == [False] * 3 + [True]
    assert "cleared to save context" in prompt
    assert found["content"][0]["text"] == "Hello world"


async def test_below_its_trigger_an_edit_clears_nothing(
    thinker: Api, engine: FakeEngineClient
) -> None:
    found = await answer(
        thinker,
        user("Hi"),
        assistant([use()]),
        user([result("Sun")]),
        model="hermes",
        context_management={"edits": [{"type": "clear_tool_uses_20250919"}]},
    )

    assert "Sun" in engine.requests[0].prompt
    assert found["context_management"] == {"applied_edits": []}


# Signatures ---------------------------------------------------------------------


def test_a_signature_holds_for_its_text_and_its_server_only() -> None:
    signer, other = ThinkingSigner("secret"), ThinkingSigner("another")
    shown = signer.sign("Hm. é", is_shown=True)
    carried = signer.sign("Hm. é", is_shown=False)

    assert signer.thinking("Hm. é", shown) == "Hm. é"
    assert signer.thinking("", carried) == "Hm. é"
    assert signer.thinking("Hm. é", carried) == "Hm. é"
    for signature, given in ((shown, "Ha"), (shown, ""), (carried, "Ha")):
        with pytest.raises(WrongSignature):
            signer.thinking(given, signature)
    with pytest.raises(WrongSignature):
        other.thinking("Hm. é", shown)
    for signature in ("", "EqQBCgIYAhIM", "llmm1", "llmm1.a.b.c"):
        with pytest.raises(ForeignSignature):
            signer.thinking("Hm. é", signature)


@pytest.mark.parametrize("payload", ["!", "AAAA", "eJw", "x" * 999, "é"])
def test_a_signature_that_carries_nonsense_is_wrong(payload: str) -> None:
    signer = ThinkingSigner("secret")
    mac = signer.sign("", is_shown=True).split(".")[1]

    with pytest.raises(WrongSignature):
        signer.thinking("", f"llmm1.{mac}.{payload}")
