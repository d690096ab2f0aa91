"""Tools in chat completions: how models learn of them, and how they call."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from inference.engine.sampling.logprobs import TokenLogprob, TokenLogprobs
from inference.engine.structured_output.control_tokens import resolve_control_tokens
from inference.output_parsers.families import OUTPUT_PARSERS
from tests.fakes import begun, finished, tokens
from tests.inference.api.conftest import Api, events_of, read_stream
from tests.inference.api.tool_models import (
    NOW,
    TELL_TALES,
    TEMPLATE,
    TOOLS,
    WEATHER,
    called,
    choice_of,
    chunks_of,
    make_tool_model,
    script,
    whole,
)
from tests.inference.engine.structured_output.recogniser import allows

if TYPE_CHECKING:
    from inference.engine.output import SequenceOutput
    from tests.fakes import FakeEngineClient

PARIS = ("get_weather", {"city": 'Par"is', "days": 3})
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
}
ASKED = {"role": "user", "content": "Hi"}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
ANSWERED = {"role": "tool", "content": "sunny", "tool_call_id": "call_1"}
HERMES_CALL = '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'


def grammar_of(engine: FakeEngineClient) -> str:
    """Return the last request's grammar, for a vocabulary without control tokens."""
    grammar = engine.requests[-1].params.grammar
    assert grammar is not None
    return resolve_control_tokens(grammar, {})


# Answers --------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize("family", TELL_TALES)
async def test_a_call_of_any_family_is_openais(
    api: Api, engine: FakeEngineClient, family: str, size: int
) -> None:
    await make_tool_model(family)
    text = OUTPUT_PARSERS[family].framing.write([PARIS])
    script(engine, text, size)
    script(engine, text, size)

    choice = await choice_of(api, model=family, tools=TOOLS)
    chunks = await chunks_of(api, model=family, tools=TOOLS)

    message = choice["message"]
    assert choice["finish_reason"] == "tool_calls"
    assert message["content"] is None
    assert called(message) == [PARIS]
    assert set(message["tool_calls"][0]) == {"id", "type", "function"}
    assert chunks[-1]["finish_reason"] == "tool_calls"
    assert called(whole(chunks)) == [PARIS]
    assert whole(chunks)["content"] is None


@pytest.mark.parametrize("family", TELL_TALES)
async def test_an_answer_without_a_call_is_all_content(
    api: Api, engine: FakeEngineClient, family: str
) -> None:
    await make_tool_model(family)
    text = "It <b>is</b> {sunny}, I [think].\n"
    script(engine, OUTPUT_PARSERS[family].framing.before_content + text)

    choice = await choice_of(api, model=family, tools=TOOLS)

    assert choice["finish_reason"] == "stop"
    assert choice["message"] == {
        "role": "assistant",
        "content": text,
        "refusal": None,
    }


async def test_a_stream_of_calls_is_the_one_that_openai_sends(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("hermes")
    script(engine, f"So:\n{HERMES_CALL}\n{HERMES_CALL}", 1000)

    chunks = await chunks_of(api, model="hermes", tools=TOOLS)

    deltas = [chunk["delta"] for chunk in chunks]
    ids = [delta["tool_calls"][0].pop("id", None) for delta in deltas[2:-1]]
    assert deltas[:2] == [{"role": "assistant", "content": None}, {"content": "So:"}]
    begin = {"type": "function", "function": {"name": "now", "arguments": ""}}
    assert deltas[2:] == [
        {"tool_calls": [{"index": 0, **begin}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
        {"tool_calls": [{"index": 1, **begin}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
        {},
    ]
    assert all(re.fullmatch(r"call_[A-Za-z0-9]{24}", ids[at]) for at in (0, 2))
    assert ids[0] != ids[2]
    assert [chunk["finish_reason"] for chunk in chunks][-2:] == [None, "tool_calls"]


async def test_a_call_that_is_cut_off_ends_with_length(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("hermes")
    text = '<tool_call>{"name": "get_weather", "arguments": {"city": "Par'
    script(engine, text, reason="length")

    choice = await choice_of(api, model="hermes", tools=TOOLS)

    assert choice["finish_reason"] == "length"
    (call,) = choice["message"]["tool_calls"]
    assert call["function"]["arguments"] == '{"city": "Par'


@pytest.mark.parametrize("body", [{}, {"tools": TOOLS, "tool_choice": "none"}])
async def test_without_tools_nothing_is_a_call_and_text_goes_through_as_it_is(
    api: Api, engine: FakeEngineClient, body: dict[str, Any]
) -> None:
    await make_tool_model("hermes")
    script(engine, HERMES_CALL)
    script(engine, HERMES_CALL)

    choice = await choice_of(api, model="hermes", **body)
    chunks = await chunks_of(api, model="hermes", **body)

    assert choice["message"]["content"] == HERMES_CALL
    assert choice["finish_reason"] == "stop"
    assert chunks[0]["delta"] == {"role": "assistant", "content": ""}
    assert engine.requests[0].params.control_tokens == ()
    assert "tool" not in engine.requests[0].prompt


async def test_a_name_of_no_tool_stays_text(api: Api, engine: FakeEngineClient) -> None:
    await make_tool_model("hermes")
    script(engine, HERMES_CALL)

    choice = await choice_of(api, model="hermes", tools=[WEATHER])

    assert choice["message"]["content"] == HERMES_CALL
    assert choice["finish_reason"] == "stop"


async def test_control_tokens_that_make_a_call_are_asked_for(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("mistral")

    await api.chat(model="mistral", tools=TOOLS)

    assert "[TOOL_CALLS]" in engine.requests[0].params.control_tokens


# One call --------------------------------------------------------------------------


@pytest.mark.parametrize("is_stream", [False, True])
async def test_after_the_only_call_its_sequence_is_given_up(
    api: Api, engine: FakeEngineClient, is_stream: bool
) -> None:
    await make_tool_model("hermes")
    for _ in range(2):
        # It would go on for ever.
        steps = [[tokens(HERMES_CALL, 9)], [tokens(HERMES_CALL, 9)]]
        engine.enqueue(begun(prompt_tokens=7), *steps)
    body = {"model": "hermes", "tools": TOOLS, "n": 2, "parallel_tool_calls": False}

    if is_stream:
        options = {"include_usage": True}
        response = await api.chat(stream=True, stream_options=options, **body)
        *chunks, usage, _ = events_of(await read_stream(response))
        counted = usage["usage"]
        reasons = [c["choices"][0]["finish_reason"] for c in chunks]
        assert reasons.count("tool_calls") == 2
    else:
        answer = (await api.chat(**body)).json()
        counted = answer["usage"]
        for choice in answer["choices"]:
            assert called(choice["message"]) == [("now", {})]
            assert choice["finish_reason"] == "tool_calls"

    assert [stream.is_closed for stream in engine.streams] == [True, True]
    assert (counted["prompt_tokens"], counted["completion_tokens"]) == (7, 18)


async def test_a_template_that_takes_one_call_a_message_gets_one(
    api: Api, engine: FakeEngineClient
) -> None:
    single = "{% for m in messages %}{% if m.tool_calls | length > 1 %}"
    single += "{{ raise_exception('one call') }}{% endif %}{% endfor %}"
    await make_tool_model("hermes", template="{# <tool_call> #}" + single + TEMPLATE)
    script(engine, f"{HERMES_CALL}\n{HERMES_CALL}")

    choice = await choice_of(api, model="hermes", tools=TOOLS)

    assert len(choice["message"]["tool_calls"]) == 1


# How tools get into the prompt ------------------------------------------------------


async def test_a_template_is_given_the_tools(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("hermes")
    strict = {**NOW, "function": {"name": "now", "strict": True}}

    await api.chat(model="hermes", tools=[WEATHER, strict])

    shown = re.findall(r"\[tool (.*?)\](?=\[)", engine.requests[0].prompt)
    nothing = {"type": "object", "properties": {}}
    assert [json.loads(text) for text in shown] == [
        WEATHER,
        {
            "type": "function",
            "function": {"name": "now", "description": "", "parameters": nothing},
        },
    ]


async def test_a_template_without_tools_gets_them_in_the_system_message(
    api: Api, engine: FakeEngineClient
) -> None:
    script(engine, '{"name": "now", "arguments": {}}')

    choice = await choice_of(
        api, tools=TOOLS, messages=[{"role": "system", "content": "Be kind."}, ASKED]
    )

    prompt = engine.requests[0].prompt
    assert isinstance(prompt, str)
    system, _, rest = prompt.partition("<|im_end|>")
    assert system.startswith("<|im_start|>system\nBe kind.\n\nYou can call functions.")
    assert '{"name": "get_weather", "description": "Tells the weather."' in system
    assert rest == "\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert called(choice["message"]) == [("now", {})]


async def test_a_template_without_calls_gets_a_conversation_with_calls_as_text(
    api: Api, engine: FakeEngineClient
) -> None:
    second = {**CALL, "id": "call_2", "function": {"name": "now", "arguments": "x"}}
    second_result = {**ANSWERED, "tool_call_id": "call_2", "content": "noon"}
    called_twice = {**CALLED, "content": "Wait.", "tool_calls": [CALL, second]}

    await api.chat(messages=[ASKED, called_twice, ANSWERED, second_result])

    assert engine.requests[0].prompt == (
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nWait.\n\n"
        '{"name": "get_weather", "arguments": {"city": "Paris"}}\n'
        '{"name": "now", "arguments": {"arguments": "x"}}<|im_end|>\n'
        "<|im_start|>user\nResult of get_weather: sunny\n\nResult of now: noon"
        "<|im_end|>\n<|im_start|>assistant\n"
    )


async def test_calls_and_results_come_back_in_the_shape_of_the_template(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("hermes")
    said = {**CALLED, "reasoning_content": "Hm."}

    await api.chat(model="hermes", messages=[ASKED, said, ANSWERED])

    assert engine.requests[0].prompt == (
        '[user  Hi][assistant  call_1{"name": "get_weather", "arguments": '
        '{"city": "Paris"}}Hm.][tool get_weather sunnycall_1]'
    )


async def test_a_template_for_tools_is_used_where_there_are_any(
    api: Api, engine: FakeEngineClient
) -> None:
    metadata = {"tokenizer.chat_template.tool_use": "{# <tool_call> #}T" + TEMPLATE}
    await make_tool_model("hermes", template="plain", metadata=metadata)

    await api.chat(model="hermes")
    await api.chat(model="hermes", tools=TOOLS)
    await api.chat(model="hermes", messages=[ASKED, CALLED, ANSWERED])

    prompts = [str(request.prompt)[:6] for request in engine.requests]
    assert prompts == ["plain", "T[tool", "T[user"]


# Calls that are required -----------------------------------------------------------


@pytest.mark.parametrize("family", TELL_TALES)
async def test_a_required_call_is_the_only_answer_that_can_be_written(
    api: Api, engine: FakeEngineClient, family: str
) -> None:
    await make_tool_model(family)
    write = OUTPUT_PARSERS[family].framing.write

    await api.chat(model=family, tools=TOOLS, tool_choice="required")

    grammar = grammar_of(engine)
    assert allows(grammar, write([PARIS]))
    assert allows(grammar, write([("now", {})]))
    assert not allows(grammar, "It is sunny.")
    assert not allows(grammar, write([("get_weather", {"days": 3})]))
    assert not allows(grammar, write([("get_weather", {"city": "P", "days": "x"})]))
    assert not allows(grammar, write([("nobody", {})]))


async def test_a_named_function_is_called_once_and_no_other(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("hermes")
    named = {"type": "function", "function": {"name": "now"}}
    script(engine, HERMES_CALL)

    choice = await choice_of(api, model="hermes", tools=TOOLS, tool_choice=named)

    write = OUTPUT_PARSERS["hermes"].framing.write
    grammar = grammar_of(engine)
    assert "get_weather" in str(engine.requests[0].prompt)
    assert allows(grammar, write([("now", {})]))
    assert not allows(grammar, write([("now", {}), ("now", {})]))
    assert not allows(grammar, write([PARIS]))
    assert choice["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(("parallel", "several"), [(True, True), (False, False)])
async def test_required_calls_are_several_unless_that_is_ruled_out(
    api: Api, engine: FakeEngineClient, parallel: bool, several: bool
) -> None:
    await make_tool_model("hermes")

    await api.chat(
        model="hermes",
        tools=TOOLS,
        tool_choice="required",
        parallel_tool_calls=parallel,
    )

    both = OUTPUT_PARSERS["hermes"].framing.write([PARIS, ("now", {})])
    assert allows(grammar_of(engine), both) is several


@pytest.mark.parametrize("mode", ["auto", "required"])
async def test_tools_that_are_not_allowed_are_not_in_the_prompt(
    api: Api, engine: FakeEngineClient, mode: str
) -> None:
    await make_tool_model("hermes")
    script(engine, HERMES_CALL)
    allowed = {
        "mode": mode,
        "tools": [{"type": "function", "function": {"name": "now"}}],
    }
    choice = {"type": "allowed_tools", "allowed_tools": allowed}

    answer = await choice_of(api, model="hermes", tools=TOOLS, tool_choice=choice)

    assert "get_weather" not in str(engine.requests[0].prompt)
    assert called(answer["message"]) == [("now", {})]
    assert (engine.requests[0].params.grammar is not None) is (mode == "required")


@pytest.mark.parametrize("family", TELL_TALES)
async def test_a_constrained_answer_leaves_room_for_calls(
    api: Api, engine: FakeEngineClient, family: str
) -> None:
    await make_tool_model(family)
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    framing = OUTPUT_PARSERS[family].framing
    answer_format = {
        "type": "json_schema",
        "json_schema": {"name": "a", "schema": schema},
    }

    await api.chat(model=family, tools=TOOLS, response_format=answer_format)

    grammar = grammar_of(engine)
    assert allows(grammar, framing.before_content + '{"a": 1}')
    assert allows(grammar, framing.write([PARIS]))
    assert not allows(grammar, framing.before_content + '{"b": 1}')
    assert not allows(grammar, framing.write([("get_weather", {})]))


BARE = {
    "type": "object",
    "properties": {
        "unit": {"$ref": "#/$defs/unit"},
        "note": {"type": ["string", "null"]},
        "never": False,
    },
    "required": ["unit"],
    "$defs": {"unit": {"type": "string", "enum": ["°C", "°F"]}},
}


async def test_arguments_in_tags_match_their_schema_too(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("qwen3_coder")
    tool = {"type": "function", "function": {"name": "f", "parameters": BARE}}

    await api.chat(model="qwen3_coder", tools=[tool], tool_choice="required")

    def call(*arguments: str) -> str:
        lines = [f"<parameter={each}\n</parameter>\n" for each in arguments]
        return f"<tool_call>\n<function=f>\n{''.join(lines)}</function>\n</tool_call>"

    grammar = grammar_of(engine)
    assert allows(grammar, call("unit>\n°C", 'note>\n"5 < 6"'))
    assert allows(grammar, call("unit>\n°F", "note>\nnull"))
    assert allows(grammar, call("unit>\n°F"))
    assert not allows(grammar, call("unit>\nK"))
    assert not allows(grammar, call("note>\nnull"))
    assert not allows(grammar, call("unit>\n°F", "note>\n5"))


@pytest.mark.parametrize(
    ("parameters", "fault"),
    [
        (
            {"properties": {"a": {"type": "string", "minLength": 2}}},
            "properties.a.minLength",
        ),
        (
            {"properties": {"a": {"type": "string", "format": "date"}}},
            "properties.a.format",
        ),
        ({"properties": {"a b": {}, "a>b": {"type": "integer"}}}, "properties.a>b"),
        ({"anyOf": [{"required": ["a"]}, {}]}, "anyOf"),
    ],
)
async def test_what_tags_cannot_hold_to_is_refused_for_a_strict_tool_and_else_left_out(
    api: Api, engine: FakeEngineClient, parameters: dict[str, Any], fault: str
) -> None:
    await make_tool_model("glm45")
    body = {"model": "glm45", "tool_choice": "required"}

    loose = await api.chat(**body, **tool(parameters=parameters))
    strict = await api.chat(**body, **tool(parameters=parameters, strict=True))

    error = strict.json()["error"]
    assert (loose.status_code, strict.status_code) == (200, 400)
    assert (error["param"], fault in error["message"]) == ("tools", True)
    path = f"tools[0].function.parameters.{fault}".replace(">", "%3E")
    assert loose.headers["x-llm-manager-left-out"] == path


@pytest.mark.parametrize(
    "family",
    [name for name in TELL_TALES if not OUTPUT_PARSERS[name].framing.notation],
)
async def test_arguments_that_are_asked_for_without_a_name_can_be_written(
    api: Api, engine: FakeEngineClient, family: str
) -> None:
    await make_tool_model(family)
    parameters = {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "additionalProperties": {"type": "string"},
    }

    await api.chat(model=family, tool_choice="required", **tool(parameters=parameters))

    write = OUTPUT_PARSERS[family].framing.write
    assert allows(grammar_of(engine), write([("f", {"a": 1, "b": "x", "c_d": ""})]))
    assert not allows(grammar_of(engine), write([("f", {"a": "x"})]))


@pytest.mark.parametrize("family", TELL_TALES)
@pytest.mark.parametrize("strict", [False, True])
async def test_a_tool_without_arguments_gets_none(
    api: Api, engine: FakeEngineClient, family: str, strict: bool
) -> None:
    await make_tool_model(family)
    nothing = {"type": "object", "properties": {}}

    given: dict[str, Any]
    for given in ({}, {"parameters": {}}, {"parameters": nothing}):
        await api.chat(
            model=family, tool_choice="required", **tool(**given, strict=strict)
        )

        write = OUTPUT_PARSERS[family].framing.write
        assert allows(grammar_of(engine), write([("f", {})]))
        assert not allows(grammar_of(engine), write([("f", {"a": 1})]))


@pytest.mark.parametrize("family", TELL_TALES)
@pytest.mark.parametrize("strict", [False, True])
async def test_arguments_that_the_schema_does_not_name_cannot_be_written(
    api: Api, engine: FakeEngineClient, family: str, strict: bool
) -> None:
    await make_tool_model(family)
    parameters = {
        "properties": {"name": {"enum": ["Ann", "Bo"]}, "ok": {"type": "boolean"}},
        "required": ["name"],
    }

    await api.chat(
        model=family,
        tool_choice="required",
        **tool(parameters=parameters, strict=strict),
    )

    write = OUTPUT_PARSERS[family].framing.write
    assert allows(grammar_of(engine), write([("f", {"name": "Ann", "ok": True})]))
    assert not allows(
        grammar_of(engine), write([("f", {"name": "Ann", "description": "x"})])
    )


# Refusals --------------------------------------------------------------------------


def tool(**function: Any) -> dict[str, Any]:
    """Return a request with one tool."""
    return {"tools": [{"type": "function", "function": {"name": "f", **function}}]}


FORMAT = {"properties": {"a": {"type": "string", "format": "iri"}}}
FORMAT_PATH = "tools[0].function.parameters.properties.a.format"


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"tools": "f"}, "tools", "invalid_type"),
        ({"tools": ["f"]}, "tools[0]", "invalid_type"),
        (
            {"tools": [{"type": "function"}]},
            "tools[0].function",
            "missing_required_parameter",
        ),
        ({"tools": [{"type": "mcp"}]}, "tools[0].type", "unsupported_parameter"),
        ({"tools": [{"type": "magic"}]}, "tools[0].type", "invalid_value"),
        ({"tools": [NOW] * 129}, "tools", "invalid_value"),
        ({"tools": [NOW, NOW]}, "tools[0].function.name", "invalid_value"),
        (tool(name="get weather"), "tools[0].function.name", "invalid_value"),
        (tool(name="x" * 65), "tools[0].function.name", "invalid_value"),
        (tool(colour=1), "tools[0].function.colour", "unknown_parameter"),
        (tool(parameters=[]), "tools[0].function.parameters", "invalid_type"),
        (
            tool(parameters={"type": "string"}),
            "tools[0].function.parameters.type",
            "invalid_value",
        ),
        (
            tool(parameters={"title": "\ud800"}),
            "tools[0].function.parameters",
            "invalid_value",
        ),
        (
            tool(parameters={"a": json.loads("[" * 80 + "]" * 80)}),
            "tools[0].function.parameters",
            "invalid_value",
        ),
        (tool(description="x" * 110_000), "tools[0]", "message_too_long"),
        (tool(parameters=FORMAT, strict=True), FORMAT_PATH, "invalid_value"),
        ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
        ({**tool(), "tool_choice": "always"}, "tool_choice", "invalid_value"),
        ({**tool(), "tool_choice": 1}, "tool_choice", "invalid_type"),
        (
            {**tool(), "tool_choice": {}},
            "tool_choice.type",
            "missing_required_parameter",
        ),
        (
            {**tool(), "tool_choice": {"type": "function"}},
            "tool_choice.function",
            "missing_required_parameter",
        ),
        (
            {
                **tool(),
                "tool_choice": {"type": "function", "function": {"name": "g"}},
            },
            "tool_choice",
            "invalid_value",
        ),
        (
            {**tool(), "tool_choice": {"type": "custom", "custom": {"name": "f"}}},
            "tool_choice",
            "invalid_value",
        ),
        (
            {**tool(), "tool_choice": "required", "min_tokens": 5},
            "min_tokens",
            "invalid_value",
        ),
        ({"parallel_tool_calls": 1}, "parallel_tool_calls", "invalid_type"),
        (
            {"messages": [ASKED, ANSWERED]},
            "messages[1].tool_call_id",
            "invalid_value",
        ),
        (
            {"messages": [ASKED, CALLED, ANSWERED, ANSWERED]},
            "messages[3].tool_call_id",
            "invalid_value",
        ),
        (
            {"messages": [ASKED, CALLED, {**ANSWERED, "tool_call_id": "x"}]},
            "messages[2].tool_call_id",
            "invalid_value",
        ),
        (
            {"messages": [CALLED, ASKED, ANSWERED]},
            "messages[0].tool_calls",
            "invalid_value",
        ),
        ({"messages": [ASKED, CALLED]}, "messages[1].tool_calls", "invalid_value"),
        (
            {"messages": [{**CALLED, "tool_calls": [CALL, CALL]}, ANSWERED]},
            "messages[0].tool_calls",
            "invalid_value",
        ),
        (
            {"messages": [{"role": "assistant", "content": "a", "refusal": "b"}]},
            "messages[0].refusal",
            "invalid_value",
        ),
    ],
)
async def test_a_bad_request_is_400_and_names_the_field(
    api: Api, engine: FakeEngineClient, body: dict[str, Any], param: str, code: str
) -> None:
    response = await api.chat(**body)

    error = response.json()["error"]
    assert (response.status_code, error["param"], error["code"]) == (400, param, code)
    assert engine.requests == []


async def test_a_schema_that_is_not_enforced_may_use_any_keyword(
    api: Api,
) -> None:
    response = await api.chat(**tool(parameters=FORMAT))

    assert response.status_code == 200
    assert "x-llm-manager-left-out" not in response.headers


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "mode",
    [
        {"tool_choice": "required"},
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"json_schema": {"enum": ["none"]}},
    ],
)
async def test_what_cannot_be_enforced_of_a_tool_that_is_not_strict_is_left_out(
    api: Api, engine: FakeEngineClient, mode: dict[str, Any], stream: bool
) -> None:
    script(engine, '{"name": "f", "arguments": {"a": "x"}}')

    response = await api.chat(**tool(parameters=FORMAT), **mode, stream=stream)

    assert response.status_code == 200
    assert response.headers["x-llm-manager-left-out"] == FORMAT_PATH
    grammar = grammar_of(engine)
    assert allows(grammar, '{"name": "f", "arguments": {"a": "x"}}')
    assert not allows(grammar, '{"name": "f", "arguments": {"a": 1}}')


async def test_a_refusal_comes_back_as_what_was_said(
    api: Api, engine: FakeEngineClient
) -> None:
    refused = {"role": "assistant", "content": None, "refusal": "I cannot."}

    await api.chat(messages=[ASKED, refused, ASKED])

    assert "<|im_start|>assistant\nI cannot.<|im_end|>" in str(
        engine.requests[0].prompt
    )


async def test_a_client_that_goes_away_ends_a_call(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("hermes")
    engine.enqueue(begun(), [tokens('<tool_call>{"name": "now", ')])
    request = asyncio.create_task(api.chat(model="hermes", tools=TOOLS))
    await engine.has_streams()

    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request

    assert engine.streams[0].is_closed


async def test_tool_call_tokens_have_logprobs_too(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("hermes")

    def likely(text: str) -> SequenceOutput:
        logprobs = TokenLogprobs(TokenLogprob(7, text.encode(), -0.5))
        return tokens(text, logprobs=(logprobs,))

    pieces = ["<tool_call>", '{"name": "now"', ', "arguments": {}}']
    engine.enqueue(begun(), *([likely(piece)] for piece in pieces), [finished()])

    chunks = await chunks_of(api, model="hermes", tools=TOOLS, logprobs=True)

    texts = [
        each["token"]
        for chunk in chunks
        for each in (chunk["logprobs"] or {"content": []})["content"]
    ]
    assert texts == pieces
    assert chunks[1]["delta"] == {}
    assert called(whole(chunks)) == [("now", {})]
