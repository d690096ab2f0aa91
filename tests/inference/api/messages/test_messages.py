"""POST /v1/messages without stream."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async

from inference.errors import QueueFull, RequestTimeout
from tests.factories import make_model
from tests.fakes import begun, finished, tokens
from tests.inference.api.conftest import Api
from tests.inference.api.messages.sending import (
    answer,
    assistant,
    refusal,
    result,
    send,
    text,
    use,
    user,
)
from tests.inference.api.tool_models import make_tool_model

if TYPE_CHECKING:
    from tests.fakes import FakeEngineClient

LEFT_OUT = "x-llm-manager-left-out"


@pytest.fixture
async def shown(api: Api, engine: FakeEngineClient) -> Api:
    """The API with a model whose template shows all of a conversation: hermes."""
    await make_tool_model("hermes")
    return api


async def prompt_of(
    api: Api, engine: FakeEngineClient, *turns: dict[str, Any], **body: Any
) -> str:
    """Return the prompt of a message to the model "hermes"."""
    await answer(api, *turns, **{"model": "hermes", **body})
    return str(engine.requests[-1].prompt)


async def test_an_answer_has_anthropics_shape(api: Api) -> None:
    response = await send(api)

    body = response.json()
    assert response.status_code == 200
    assert re.fullmatch(r"msg_[0-9a-f]{32}", body.pop("id"))
    assert body == {
        "type": "message",
        "role": "assistant",
        "model": "tiny",
        "content": [{"type": "text", "text": "Hello world"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 5,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 2,
            "service_tier": "standard",
        },
    }
    assert response["request-id"]
    assert not response.has_header(LEFT_OUT)


async def test_cached_tokens_are_no_input_tokens(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.enqueue(begun(), [finished(text="Yes", prompt=20, cached=15)])

    usage = (await answer(api))["usage"]

    assert (usage["input_tokens"], usage["cache_read_input_tokens"]) == (5, 15)


@pytest.mark.parametrize(
    ("end", "reason", "sequence"),
    [
        (finished("stop"), "end_turn", None),
        (finished("stop", stopped_by="END"), "stop_sequence", "END"),
        (finished("length", completion=100), "max_tokens", None),
        (finished("length", completion=50), "model_context_window_exceeded", None),
    ],
)
async def test_the_stop_reason_says_why_the_answer_ends(
    api: Api,
    engine: FakeEngineClient,
    end: Any,
    reason: str,
    sequence: str | None,
) -> None:
    engine.enqueue(begun(), [tokens("Hi")], [end])

    found = await answer(api, stop_sequences=["END"])

    assert (found["stop_reason"], found["stop_sequence"]) == (reason, sequence)


async def test_sampling_parameters_reach_the_engine(
    api: Api, engine: FakeEngineClient
) -> None:
    await answer(
        api,
        max_tokens=9,
        temperature=0.5,
        top_p=0.4,
        top_k=3,
        stop_sequences=["END"],
        metadata={"user_id": "someone"},
        service_tier="standard_only",
    )

    params = engine.requests[0].params
    assert (params.temperature, params.top_p, params.top_k) == (0.5, 0.4, 3)
    assert (params.max_tokens, params.stop) == (9, ("END",))


async def test_the_key_may_be_an_x_api_key(api: Api, key: tuple[Any, str]) -> None:
    body = {
        "model": "tiny",
        "max_tokens": 1,
        "messages": [user("Hi")],
    }

    response = await Api(None).post(
        "/v1/messages", body, **{"x-api-key": key[1], "anthropic-version": "2023-06-01"}
    )

    assert response.status_code == 200


# Conversations ------------------------------------------------------------------


async def test_the_system_prompt_is_text_or_blocks(
    api: Api, engine: FakeEngineClient
) -> None:
    for system in ("Be\nkind", [text("Be"), text("kind")]):
        await answer(api, system=system)

        prompt = engine.requests[-1].prompt
        assert prompt.startswith("<|im_start|>system\nBe\nkind<|im_end|>\n")


async def test_a_turn_of_the_system_stays_where_it_is(
    api: Api, engine: FakeEngineClient
) -> None:
    await answer(
        api,
        user("One"),
        {"role": "system", "content": [text("Two")]},
        user([{"type": "mid_conv_system", "content": [text("Three")]}, text("Four")]),
    )

    words = re.findall(r"One|Two|Three|Four", engine.requests[0].prompt)
    assert words == ["One", "Two", "Three", "Four"]


@pytest.mark.parametrize("clear_at", ["never", "next_user_message"])
async def test_instructions_may_hold_until_the_user_speaks_again(
    api: Api, engine: FakeEngineClient, clear_at: str
) -> None:
    rule = {"role": "system", "content": "Be brief.", "clear_at": clear_at}

    await answer(api, user("One"), rule)
    assert "Be brief." in engine.requests[0].prompt
    await answer(api, user("One"), rule, assistant("Two"), user("Three"))
    assert ("Be brief." in engine.requests[1].prompt) is (clear_at == "never")


async def test_calls_and_results_become_the_templates(
    shown: Api, engine: FakeEngineClient
) -> None:
    prompt = await prompt_of(
        shown,
        engine,
        user("Weather?"),
        assistant([text("Wait."), use(city="Paris"), use("now", 2)]),
        user([result("Sun", 1), result([text("10"), text("o'clock")], 2), text("So?")]),
    )

    assert "[assistant  Wait." in prompt
    assert '"name": "get_weather"' in prompt
    assert "[tool get_weather Sun" in prompt
    assert "[tool now 10\no'clock" in prompt
    assert prompt.index("o'clock") < prompt.index("[user  So?")


async def test_a_failed_call_is_shown_as_one(
    shown: Api, engine: FakeEngineClient
) -> None:
    failed = result("no such city", is_error=True)
    prompt = await prompt_of(
        shown, engine, user("Weather?"), assistant([use()]), user([failed])
    )

    assert "[tool get_weather Error: no such city" in prompt


async def test_two_turns_of_the_assistant_are_one(
    shown: Api, engine: FakeEngineClient
) -> None:
    prompt = await prompt_of(
        shown,
        engine,
        user("Weather?"),
        assistant("I look."),
        assistant([use(city="Paris")]),
        user([result("Sun")]),
    )

    assert prompt.count("[assistant") == 1


async def test_documents_are_shown_as_text(api: Api, engine: FakeEngineClient) -> None:
    plain = {"type": "text", "media_type": "text/plain", "data": "Once upon"}
    parts = {"type": "content", "content": [text("a time")]}
    found = {
        "type": "search_result",
        "source": "https://example.org",
        "title": "Tales",
        "content": [text("there was")],
    }
    await answer(
        api,
        user(
            [
                {"type": "document", "source": plain, "title": "Tale"},
                {"type": "document", "source": parts},
                found,
            ]
        ),
    )

    shown = "Tale\nOnce upon\na time\nTales\nhttps://example.org\nthere was"
    assert shown in engine.requests[0].prompt


async def test_an_answer_that_has_begun_is_continued(
    api: Api, engine: FakeEngineClient
) -> None:
    await answer(api, user("Name the sun."), assistant("The best is ("))

    assert engine.requests[0].prompt.endswith("assistant\nThe best is (")


async def test_a_beginning_cannot_be_made_to_match(api: Api) -> None:
    schema = {"type": "json_schema", "schema": {"type": "object"}}
    said = await refusal(
        api, user("Hi"), assistant("{"), output_config={"format": schema}
    )

    assert "'messages[1]' is the beginning of the answer" in said
    assert "'output_config.format'" in said


@pytest.mark.parametrize(
    "turns",
    [
        [user("Hi"), assistant([use()])],
        [user("Hi"), assistant([use()]), user("And?")],
        [user("Hi"), assistant([use(), use("now", 2)]), user([result("Sun")])],
        # The result of the other one comes a turn too late.
        [
            user("Hi"),
            assistant([use(), use("now", 2)]),
            user([result("Sun")]),
            assistant("Hm."),
            user([result("Noon", 2)]),
        ],
    ],
)
async def test_a_call_without_a_result_is_refused(
    api: Api, turns: list[dict[str, Any]]
) -> None:
    said = await refusal(api, *turns)

    assert "tool_use ids were found without tool_result blocks" in said
    assert "messages[1].content[" in said


async def test_a_result_without_a_call_is_refused(api: Api) -> None:
    said = await refusal(api, user([result("Sun")]))

    assert "'messages[0].content[0]' has the tool_use_id 'toolu_1'" in said


# What is left out, and what is refused ------------------------------------------


@pytest.mark.parametrize("is_text", [True, False])
async def test_the_line_of_claude_codes_billing_is_kept_out_of_the_prompt(
    api: Api, engine: FakeEngineClient, is_text: bool
) -> None:
    prompts = []
    for number in range(2):
        line = (
            "x-anthropic-billing-header: cc_version=2.1.37.0d9; cc_entrypoint=cli; "
            f"cch=fa69{number};"
        )
        system: Any = [text(line), text("Be kind.")]
        if is_text:
            system = f"{line}\nBe kind."
        response = await send(api, system=system)
        assert response[LEFT_OUT] == ("system" if is_text else "system[0]")
        prompts.append(engine.requests[-1].prompt)

    assert prompts[0] == prompts[1]
    assert prompts[0].startswith("<|im_start|>system\nBe kind.<|im_end|>")


async def test_what_only_a_host_does_is_left_out_and_said(api: Api) -> None:
    search = {"type": "web_search_20260318", "name": "web_search", "max_uses": 3}
    response = await send(
        api,
        tools=[search],
        mcp_servers=[{"type": "url", "url": "https://example.org", "name": "x"}],
        speed="fast",
        inference_geo="us",
        context_management={"edits": [{"type": "compact_20260112"}]},
        output_config={"task_budget": {"type": "tokens", "total": 5}},
    )

    assert response.status_code == 200, response.content
    assert set(response[LEFT_OUT].split(", ")) == {
        "tools[0]",
        "mcp_servers",
        "speed",
        "inference_geo",
        "context_management.edits[0]",
        "output_config.task_budget",
    }


async def test_a_hint_about_the_cache_is_what_happens_anyway(api: Api) -> None:
    kept = {"cache_control": {"type": "ephemeral", "ttl": "5m"}}
    longer = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}

    response = await send(api, user([text("Hi", **kept)]), **kept)
    assert not response.has_header(LEFT_OUT)
    response = await send(api, user([text("Hi", **longer)]))
    assert response[LEFT_OUT] == "messages[0].content[0].cache_control.ttl"


@pytest.mark.parametrize(
    ("block", "said"),
    [
        (
            {"type": "image", "source": {"type": "url", "url": "https://a.org/b.png"}},
            "is an image, and the model 'tiny' reads only text",
        ),
        (
            {
                "type": "document",
                "source": {
                    "type": "base64",
                    "media_type": "application/pdf",
                    "data": "JVBERi0=",
                },
            },
            "'messages[0].content[0]' is not served here; only its text can be sent",
        ),
        (
            {"type": "document", "source": {"type": "text", "data": "x"}},
            "'messages[0].content[0].source.media_type'",
        ),
        (text("Hi", colour="red"), "Unknown parameter: 'messages[0].content[0].colour"),
        ({"type": "video"}, "'messages[0].content[0].type'"),
    ],
)
async def test_a_block_that_no_model_sees_is_refused_by_name(
    api: Api, block: dict[str, Any], said: str
) -> None:
    assert said in await refusal(api, user([block]))


@pytest.mark.parametrize(
    ("member", "value", "path"),
    [
        ("container", "c-1", "container"),
        ("thread", {"type": "create"}, "thread"),
        ("compaction", {"type": "summarize"}, "compaction"),
        ("temperature", 1.5, "temperature"),
        ("max_tokens", 0, "max_tokens"),
        ("tool_choice", {"type": "tool", "name": "x"}, "tool_choice"),
        ("tools", [{"name": "a b", "input_schema": {}}], "tools[0].name"),
        ("tools", [{"type": "computer_20251124", "name": "c"}], "tools[0].type"),
        ("thinking", {"type": "enabled"}, "thinking.budget_tokens"),
        ("stream", "yes", "stream"),
        ("n", 2, "n"),
    ],
)
async def test_what_cannot_be_honoured_is_refused_by_name(
    api: Api, member: str, value: Any, path: str
) -> None:
    assert f"'{path}" in await refusal(api, **{member: value})


async def test_errors_of_the_chat_pipeline_name_anthropics_members(api: Api) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "strange"}}}
    form = {"type": "json_schema", "schema": schema}
    said = await refusal(api, output_config={"format": form})
    assert "'output_config.format.schema.properties.a" in said

    tool = {"name": "a", "strict": True, "input_schema": schema}
    search = {"type": "web_search_20250305", "name": "web_search"}
    said = await refusal(api, tools=[search, tool])
    assert "'tools[1].input_schema.properties.a" in said


async def test_both_versions_of_the_api_are_spoken_and_no_other(api: Api) -> None:
    body = {"model": "tiny", "max_tokens": 1, "messages": [user("Hi")]}
    for version in ("2023-06-01", "2026-10-21"):
        headers = {"anthropic-version": version}
        assert (await api.post("/v1/messages", body, **headers)).status_code == 200

    response = await api.post(
        "/v1/messages", body, **{"anthropic-version": "2023-01-01"}
    )

    assert response.status_code == 400
    assert "anthropic-version" in response.json()["error"]["message"]


# Errors -------------------------------------------------------------------------


async def test_errors_have_anthropics_types_and_statuses(
    api: Api, engine: FakeEngineClient
) -> None:
    async def error_of(response: Any) -> tuple[int, str]:
        body = response.json()
        assert body["type"] == "error"
        assert set(body) == {"type", "error", "request_id"}
        return response.status_code, body["error"]["type"]

    assert await error_of(await send(Api("wrong"))) == (401, "authentication_error")
    assert await error_of(await send(api, model="none")) == (404, "not_found_error")
    engine.refuse(QueueFull("full"))
    response = await send(api)
    assert await error_of(response) == (529, "overloaded_error")
    assert response["Retry-After"] == "5"
    engine.refuse(RequestTimeout("late"))
    assert await error_of(await send(api)) == (504, "timeout_error")
    engine.refuse(ValueError("a bug"))
    assert await error_of(await send(api)) == (500, "api_error")
    wrong = await api.get("/v1/messages")
    assert await error_of(wrong) == (405, "invalid_request_error")


async def test_a_model_that_writes_no_text_is_refused(api: Api) -> None:
    await sync_to_async(make_model)("vectors", kind="embedding")

    assert "vectors" in await refusal(api, model="vectors")
