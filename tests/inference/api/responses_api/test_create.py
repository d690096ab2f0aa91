"""POST /v1/responses, whole and as a stream."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from typing import TYPE_CHECKING, Any

import pytest

from inference.errors import EngineUnavailable
from tests.fakes import begun, finished, tokens
from tests.inference.api.responses_api.helpers import (
    WEATHER,
    create,
    refused,
    stream,
    types_of,
)
from tests.inference.api.tool_models import THINK, make_tool_model, script, template_of

if TYPE_CHECKING:
    from tests.fakes import FakeEngineClient
    from tests.inference.api.conftest import Api

CALL = '<tool_call>{"name": "get_weather", "arguments": {"city": "Oslo"}}</tool_call>'
MESSAGE = [
    *("output_item.added", "content_part.added", "output_text.delta"),
    *("output_text.done", "content_part.done", "output_item.done"),
]


def text_of(response: Any) -> str:
    return "".join(
        part["text"]
        for item in response["output"]
        if item["type"] == "message"
        for part in item["content"]
    )


async def test_a_text_is_answered_with_a_message(api: Api) -> None:
    response = await create(api, instructions="Be brief.", metadata={"a": "b"})

    assert text_of(response) == "Hello world"
    assert response["status"] == "completed"
    assert response["instructions"] == "Be brief."
    assert response["metadata"] == {"a": "b"}
    assert response["store"] is False
    assert response["usage"]["input_tokens"] == 5
    assert response["usage"]["total_tokens"] == 7
    (item,) = response["output"]
    assert item["id"].startswith("msg_")


async def test_instructions_come_before_the_input(
    api: Api, engine: FakeEngineClient
) -> None:
    await create(api, instructions="Be brief.")

    assert engine.requests[0].prompt == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


async def test_a_stream_has_openais_events_in_their_order(api: Api) -> None:
    events = await stream(api)

    assert types_of(events) == ["created", "in_progress", *MESSAGE, "completed"]
    deltas = [each["delta"] for each in events if "delta" in each]
    assert "".join(deltas) == "Hello world"
    assert events[0]["response"]["status"] == "in_progress"
    last = events[-1]["response"]
    assert text_of(last) == "Hello world"
    assert last["output"][0] == events[-2]["item"]
    assert last["usage"]["output_tokens"] == 2


async def test_an_answer_at_its_limit_is_incomplete(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.enqueue(begun(), [tokens("Hel"), finished("length")])
    engine.enqueue(begun(), [tokens("Hel"), finished("length")])

    response = await create(api, max_output_tokens=1)
    events = await stream(api, max_output_tokens=1)

    assert response["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["output"][0]["status"] == "incomplete"
    assert events[-1]["type"] == "response.incomplete"
    assert engine.requests[0].params.max_tokens == 1


async def test_a_stream_that_fails_ends_with_a_failed_response(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.enqueue(begun(), [tokens("Hel")], EngineUnavailable("The worker is gone."))

    events = await stream(api)

    assert events[-1]["type"] == "response.failed"
    failed = events[-1]["response"]
    assert failed["error"]["code"] == "server_error"
    assert failed["error"]["message"] == "The worker is gone."
    assert text_of(failed) == "Hel"


async def test_calls_are_items(engine: FakeEngineClient, api: Api) -> None:
    await make_tool_model("hermes")
    script(engine, f"Let me see. {CALL}")
    script(engine, f"Let me see. {CALL}")

    response = await create(api, model="hermes", tools=[WEATHER])
    events = await stream(api, model="hermes", tools=[WEATHER])

    message, call = response["output"]
    assert message["content"][0]["text"].strip() == "Let me see."
    assert (call["type"], call["name"]) == ("function_call", "get_weather")
    assert call["arguments"] == '{"city": "Oslo"}'
    assert call["call_id"].startswith("call_")
    assert types_of(events) == [
        *("created", "in_progress", *MESSAGE),
        *("output_item.added", "function_call_arguments.delta"),
        *("function_call_arguments.done", "output_item.done", "completed"),
    ]
    done = events[-2]["item"]
    assert (done["name"], done["arguments"]) == ("get_weather", '{"city": "Oslo"}')


async def test_reasoning_is_an_item_of_its_own(
    engine: FakeEngineClient, api: Api
) -> None:
    await make_tool_model("thinker", template=THINK + template_of("hermes"))
    for _ in range(3):
        script(engine, "<think>Hm, a greeting.</think>Hello.")

    response = await create(api, model="thinker")
    events = await stream(api, model="thinker")
    summed = await stream(api, model="thinker", reasoning={"summary": "auto"})

    reasoning, message = response["output"]
    assert reasoning["content"] == [
        {"type": "reasoning_text", "text": "Hm, a greeting."}
    ]
    assert reasoning["summary"] == []
    assert message["content"][0]["text"] == "Hello."
    assert response["usage"]["output_tokens_details"]["reasoning_tokens"] > 0
    assert types_of(events) == [
        *("created", "in_progress", "output_item.added", "content_part.added"),
        *("reasoning_text.delta", "reasoning_text.done", "content_part.done"),
        *("output_item.done", *MESSAGE, "completed"),
    ]
    assert types_of(summed)[2:8] == [
        *("output_item.added", "reasoning_summary_part.added"),
        *("reasoning_summary_text.delta", "reasoning_summary_text.done"),
        *("reasoning_summary_part.done", "output_item.done"),
    ]
    item = summed[-1]["response"]["output"][0]
    assert item["summary"] == [{"type": "summary_text", "text": "Hm, a greeting."}]


async def test_encrypted_reasoning_comes_back_as_reasoning(
    engine: FakeEngineClient, api: Api
) -> None:
    await make_tool_model("thinker", template=THINK + template_of("hermes"))
    script(engine, "<think>Hm.</think>Hello.")
    thinker: dict[str, Any] = {
        "model": "thinker",
        "include": ["reasoning.encrypted_content"],
        "reasoning": {"summary": "auto"},
        "store": False,
    }

    first = await create(api, **thinker)
    reasoning, message = first["output"]
    sealed = reasoning["encrypted_content"]
    asked = {"role": "user", "content": "And now?"}
    script(engine, "Well.")
    await create(
        api,
        **thinker,
        input=[
            {"role": "user", "content": "Hi"},
            {**reasoning, "content": None, "summary": []},
            message,
            asked,
        ],
    )

    assert b"Hm." not in urlsafe_b64decode(sealed)
    assert "[assistant  Hello.Hm.]" in engine.requests[1].prompt

    error = await refused(
        api,
        **thinker,
        input=[{**reasoning, "encrypted_content": "AbC" + sealed[3:]}, asked],
    )
    assert error["code"] == "invalid_encrypted_content"
    assert error["param"] == "input[0].encrypted_content"


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, None),
        ({"colour": 1}, "colour"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"truncation": "auto"}, "truncation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"prompt_cache_key": {"a": 1}}, "prompt_cache_key"),
        ({"safety_identifier": 7}, "safety_identifier"),
        ({"include": ["everything"]}, "include[0]"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "web_search_preview"}}, "tool_choice.type"),
        ({"tools": [{"type": "mcp", "server_label": "x"}]}, "tools[0].type"),
        ({"tools": [WEATHER, WEATHER]}, "tools[0].name"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
        (
            {"input": [{"type": "function_call_output", "call_id": "a", "output": ""}]},
            "input[0].call_id",
        ),
        (
            {
                "text": {
                    "format": {
                        "type": "json_schema",
                        "name": "a",
                        "strict": True,
                        "schema": {"type": "object", "not": {}},
                    }
                }
            },
            "text.format.schema.not",
        ),
    ],
)
async def test_what_cannot_be_honoured_is_refused_by_its_own_name(
    members: dict[str, Any], param: str | None, api: Api
) -> None:
    error = await refused(api, **members)

    assert error["param"] == (param or "input[0].content[0].image_url")
    assert f"'{error['param']}'" in error["message"]
    assert "messages" not in error["message"]


async def test_hints_and_hosted_tools_are_left_out_and_said(api: Api) -> None:
    answer = await api.post(
        "/v1/responses",
        {
            "model": "tiny",
            "input": [
                {"type": "web_search_call", "id": "ws_1", "action": {}},
                {"role": "user", "content": "Hi"},
            ],
            "store": True,
            "prompt_cache_key": "k",
            "client_metadata": {"a": "b"},
            "text": {"verbosity": "low"},
            "tools": [{"type": "web_search", "external_web_access": False}],
            "include": ["web_search_call.action.sources"],
        },
    )

    assert answer.status_code == 200
    assert answer["x-llm-manager-left-out"] == (
        "store, client_metadata, prompt_cache_key, text.verbosity, include[0], "
        "input[0], tools[0]"
    )
    assert answer.json()["tools"] == []
