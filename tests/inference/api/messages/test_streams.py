"""POST /v1/messages as a stream of Anthropic's events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.api.streaming import collecting
from inference.errors import EngineUnavailable
from tests.fakes import begun, finished, tokens
from tests.inference.api.messages.sending import WEATHER, events, whole
from tests.inference.api.tool_models import THINK, make_tool_model, script, template_of

if TYPE_CHECKING:
    import pytest

    from tests.fakes import FakeEngineClient
    from tests.inference.api.conftest import Api

CALL = (
    '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>'
)


async def test_the_events_come_in_anthropics_order(api: Api) -> None:
    found = await events(api)

    assert [event["type"] for event in found] == [
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    start = found[0]["message"]
    assert (start["content"], start["stop_reason"]) == ([], None)
    assert start["usage"]["input_tokens"] == 5
    assert found[2] == {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "text", "text": ""},
    }
    assert found[3] == {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": "Hello"},
    }
    assert found[6]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert found[6]["usage"]["output_tokens"] == 2


async def test_the_stop_sequence_is_in_the_last_delta(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.enqueue(begun(), [tokens("Hi")], [finished(stopped_by="END")])

    found = whole(await events(api, stop_sequences=["END"]))

    assert found["stop_reason"] == "stop_sequence"
    assert found["stop_sequence"] == "END"


async def test_a_call_is_a_block_whose_input_comes_in_pieces(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("hermes")
    script(engine, f"I look.\n{CALL}")

    found = await events(api, model="hermes", tools=[WEATHER])

    message = whole(found)
    wait, call = message["content"]
    assert wait["text"].strip() == "I look."
    assert call["id"].startswith("call_")
    assert (call["type"], call["name"]) == ("tool_use", "get_weather")
    assert call["input"] == {"city": "Oslo"}
    assert message["stop_reason"] == "tool_use"
    started = next(e for e in found if e.get("content_block", {}).get("name"))
    assert started["content_block"]["input"] == {}


async def test_white_space_between_thoughts_and_a_call_is_no_block(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("hermes", template=THINK + template_of("hermes"))
    script(engine, f"<think>Hm.</think>\n\n{CALL}")

    message = whole(
        await events(
            api,
            model="hermes",
            tools=[WEATHER],
            thinking={"type": "enabled", "budget_tokens": 1024},
        )
    )

    assert [block["type"] for block in message["content"]] == ["thinking", "tool_use"]


async def test_pings_come_while_the_model_is_silent(
    api: Api, engine: FakeEngineClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "KEEP_ALIVE_S", 0.01)
    engine.enqueue(begun(), 0.05, [tokens("Hi")], [finished()])

    found = [event["type"] for event in await events(api)]

    assert found.count("ping") > 1
    assert found[-1] == "message_stop"


async def test_pings_come_while_the_model_thinks_for_itself(
    api: Api, engine: FakeEngineClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_tool_model("hermes", template="{# <think> #}x")
    monkeypatch.setattr(collecting, "KEEP_ALIVE_S", 0.01)
    thoughts = [step for _ in range(3) for step in (0.02, [tokens("Hm. ")])]
    engine.enqueue(
        begun(), [tokens("<think>")], *thoughts, [tokens("</think>Yes")], [finished()]
    )

    found = await events(
        api, model="hermes", thinking={"type": "adaptive", "display": "omitted"}
    )

    assert [event["type"] for event in found].count("ping") > 2


async def test_an_error_in_a_stream_is_an_event(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.enqueue(begun(), [tokens("Hi")], EngineUnavailable("gone", retry_after=1))

    found = await events(api)

    assert found[-1]["type"] == "error"
    assert found[-1]["error"] == {"type": "overloaded_error", "message": "gone"}
