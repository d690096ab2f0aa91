"""Reasoning in chat completions: requested, separated, counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from inference.engine.structured_output.control_tokens import resolve_control_tokens
from inference.output_parsers.families import OUTPUT_PARSERS
from tests.fakes import begun, finished, tokens
from tests.inference.api.conftest import Api, events_of, read_stream
from tests.inference.api.tool_models import (
    NOW,
    TEMPLATE,
    called,
    choice_of,
    chunks_of,
    make_tool_model,
    script,
    whole,
)
from tests.inference.engine.structured_output.recogniser import allows

if TYPE_CHECKING:
    from tests.fakes import FakeEngineClient

#: A template whose model may think, one that makes it think, and one with an effort.
MAY_THINK = "{# <tool_call> <think> #}" + TEMPLATE
MUST_THINK = TEMPLATE + "<think>\n"
TAKES_ONLY_LEVELS = "effort: {{ reasoning_effort }}{# <think> #}"
TAKES_EFFORT = (
    "{{ reasoning_effort }}|{{ thinking }}|{{ enable_thinking }}{# <think> 'none' #}"
)
HERMES_CALL = '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'


async def usage_of(api: Api, **body: Any) -> Any:
    """Return the usage of an answer."""
    return (await api.chat(**body)).json()["usage"]


@pytest.mark.parametrize("size", [1, 4, 1000])
async def test_reasoning_is_separated_from_content(
    api: Api, engine: FakeEngineClient, size: int
) -> None:
    await make_tool_model("hermes", template=MAY_THINK)
    for _ in range(2):
        script(engine, "<think>\nHm, 2.\n\nYes.\n</think>\n\nIt is 2.", size)

    choice = await choice_of(api, model="hermes")
    chunks = await chunks_of(api, model="hermes")

    message = choice["message"]
    assert choice["finish_reason"] == "stop"
    assert message["reasoning_content"] == "Hm, 2.\n\nYes."
    assert message["content"] == "It is 2."
    assert "tool_calls" not in message
    assert whole(chunks) == {
        "reasoning_content": "Hm, 2.\n\nYes.",
        "content": "It is 2.",
    }
    assert (
        engine.requests[0].params.control_tokens
        == OUTPUT_PARSERS["hermes"].preserved_tokens
    )


async def test_a_prompt_may_begin_the_reasoning(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("r1", template=MUST_THINK)
    script(engine, "Hm.</think>Yes.")

    choice = await choice_of(api, model="r1")

    assert choice["message"]["reasoning_content"] == "Hm."
    assert choice["message"]["content"] == "Yes."


async def test_reasoning_that_is_cut_off_is_no_content(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("r1", template=MUST_THINK)
    script(engine, "Hm, so", reason="length")

    choice = await choice_of(api, model="r1")

    assert choice["message"]["reasoning_content"] == "Hm, so"
    assert choice["message"]["content"] == ""
    assert choice["finish_reason"] == "length"


async def test_text_like_a_call_in_reasoning_is_reasoning(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("hermes", template=MAY_THINK)
    script(engine, f"<think>{HERMES_CALL}</think>{HERMES_CALL}")

    choice = await choice_of(api, model="hermes", tools=[NOW])

    assert choice["message"]["reasoning_content"] == HERMES_CALL
    assert called(choice["message"]) == [("now", {})]
    assert choice["message"]["content"] is None


async def test_reasoning_tokens_are_counted(api: Api, engine: FakeEngineClient) -> None:
    await make_tool_model("hermes", template=MAY_THINK)
    pieces = ["<think>", "\nHm", ".\n", "</think>", "\n\n", "Yes", "."]
    steps = [[tokens(piece)] for piece in pieces]
    for _ in range(3):
        engine.enqueue(begun(), *steps, [finished(completion=len(pieces) + 1)])

    one = await usage_of(api, model="hermes")
    two = await usage_of(api, model="hermes", n=2)

    assert one["completion_tokens"] == 8
    assert one["completion_tokens_details"] == {"reasoning_tokens": 4}
    assert two["completion_tokens_details"] == {"reasoning_tokens": 8}


async def test_a_stream_reports_the_count_in_its_usage(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("r1", template=MUST_THINK)
    script(engine, "Hm.</think>Yes.", 11)

    options = {"include_usage": True}
    response = await api.chat(model="r1", stream=True, stream_options=options)
    events = events_of(await read_stream(response))

    usage = events[-2]["usage"]
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 1}


async def test_a_model_that_does_not_think_has_nothing_to_count(api: Api) -> None:
    assert "completion_tokens_details" not in await usage_of(api)


@pytest.mark.parametrize("template", [MAY_THINK, MUST_THINK])
async def test_reasoning_may_stay_in_the_content(
    api: Api, engine: FakeEngineClient, template: str
) -> None:
    await make_tool_model("hermes", template=template)
    begin = "" if template == MUST_THINK else "<think>"
    for _ in range(2):
        script(engine, f"{begin}Hm.</think>Yes.")

    choice = await choice_of(api, model="hermes", reasoning_format="none")
    chunks = await chunks_of(api, model="hermes", reasoning_format="none")

    assert choice["message"]["content"] == "<think>Hm.</think>Yes."
    assert "reasoning_content" not in choice["message"]
    assert whole(chunks) == {"content": "<think>Hm.</think>Yes."}


async def test_channels_are_never_content(api: Api, engine: FakeEngineClient) -> None:
    await make_tool_model("gpt", template=TEMPLATE, architecture="gpt-oss")
    script(
        engine,
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant"
        "<|channel|>final<|message|>Yes.<|return|>",
    )

    choice = await choice_of(api, model="gpt")

    assert choice["message"]["reasoning_content"] == "Hm."
    assert choice["message"]["content"] == "Yes."
    assert "<|return|>" in engine.requests[0].params.control_tokens


async def test_earlier_reasoning_goes_to_the_template(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("hermes", template=MAY_THINK)
    reasoning = {"role": "assistant", "content": "2.", "reasoning_content": "Hm."}

    await api.chat(
        model="hermes", messages=[reasoning, {"role": "user", "content": "?"}]
    )

    assert engine.requests[0].prompt == "[assistant  2.Hm.][user  ?]"


# How long to think ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "effort", "prompt"),
    [
        (TAKES_EFFORT, "high", "high|True|True"),
        (TAKES_EFFORT, "none", "none|False|False"),
        (TAKES_EFFORT.replace("'none'", ""), "none", "|False|False"),
        ("{{ reasoning_effort }}{# <think> #}", "minimal", "minimal"),
        ("{{ enable_thinking }}{# <think> #}", "low", "True"),
        ("{{ thinking }}{# <think> #}", "none", "False"),
        ("never", "none", "never"),
    ],
)
async def test_an_effort_is_given_in_the_templates_words(
    api: Api, engine: FakeEngineClient, template: str, effort: str, prompt: str
) -> None:
    await make_tool_model("thinker", template=template)

    response = await api.chat(model="thinker", reasoning_effort=effort)

    assert response.status_code == 200, response.content
    assert engine.requests[0].prompt == prompt


async def test_the_templates_variables_can_be_set(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("thinker", template=TAKES_EFFORT)

    await api.chat(
        model="thinker",
        reasoning_effort="low",
        chat_template_kwargs={"enable_thinking": True, "thinking": True},
    )

    assert engine.requests[0].prompt == "low|True|True"


@pytest.mark.parametrize("template", ["{# <think> #}x", TAKES_ONLY_LEVELS])
async def test_reasoning_that_a_template_cannot_turn_off_is_closed_where_it_begins(
    api: Api, engine: FakeEngineClient, template: str
) -> None:
    await make_tool_model("thinker", template=template)

    response = await api.chat(model="thinker", reasoning_effort="none")

    [request] = engine.requests
    assert response.status_code == 200, response.content
    assert request.params.thinking is not None
    assert request.params.thinking.max_tokens == 0
    assert "x-llm-manager-left-out" not in response


@pytest.mark.parametrize("template", ["x", "{# <think> #}x"])
@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"reasoning_effort": "high"}, "reasoning_effort"),
        ({"reasoning": {"effort": "low"}}, "reasoning.effort"),
        ({"stream": True, "reasoning_effort": "high"}, "reasoning_effort"),
    ],
)
async def test_an_effort_without_a_variable_is_left_out_and_said(
    api: Api, template: str, body: dict[str, Any], path: str
) -> None:
    await make_tool_model("thinker", template=template)

    response = await api.chat(model="thinker", **body)

    assert response.status_code == 200
    assert response["x-llm-manager-left-out"] == path


THINKING = "chat_template_kwargs.thinking"


@pytest.mark.parametrize(
    ("template", "body", "param", "code"),
    [
        ("x", {"reasoning_effort": "much"}, "reasoning_effort", "invalid_value"),
        ("x", {"reasoning_format": "raw"}, "reasoning_format", "invalid_value"),
        (
            "x",
            {"chat_template_kwargs": {"style": True}},
            "chat_template_kwargs.style",
            "unsupported_parameter",
        ),
        (
            "{{ messages }}",
            {"chat_template_kwargs": {"messages": []}},
            "chat_template_kwargs.messages",
            "invalid_value",
        ),
        (
            "{{ thinking }}",
            {"chat_template_kwargs": {"thinking": True}, "reasoning_effort": "none"},
            THINKING,
            "invalid_value",
        ),
        (
            "x",
            {"chat_template_kwargs": [1]},
            "chat_template_kwargs",
            "invalid_type",
        ),
        (
            "{{ a }}",
            {"chat_template_kwargs": {"a": "x" * 20_000}},
            "chat_template_kwargs",
            "invalid_value",
        ),
    ],
)
async def test_parameters_that_a_template_ignores_are_refused_by_name(
    api: Api,
    engine: FakeEngineClient,
    template: str,
    body: dict[str, Any],
    param: str,
    code: str,
) -> None:
    await make_tool_model("thinker", template=template)

    response = await api.chat(model="thinker", **body)

    error = response.json()["error"]
    assert (response.status_code, error["param"], error["code"]) == (400, param, code)
    assert engine.requests == []


# Constrained answers ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "reasoning"),
    [
        (MAY_THINK, "<think>Hm, {}?</think>\n\n"),
        (MAY_THINK, ""),
        (MUST_THINK, "Hm.</think>"),
    ],
)
async def test_a_grammar_applies_to_the_answer_and_not_to_the_reasoning(
    api: Api, engine: FakeEngineClient, template: str, reasoning: str
) -> None:
    await make_tool_model("hermes", template=template)
    required = {"tools": [NOW], "tool_choice": "required"}

    await api.chat(model="hermes", guided_regex="[0-9]+")
    await api.chat(model="hermes", **required)

    found = [request.params.grammar for request in engine.requests]
    grammars = [grammar for grammar in found if grammar is not None]
    answers = ["42", HERMES_CALL]
    if template == MUST_THINK:
        answers[1] = '{"name": "now", "arguments": {}}'
    for grammar, answer in zip(grammars, answers, strict=True):
        source = resolve_control_tokens(grammar, {})
        assert allows(source, reasoning + answer)
        assert not allows(source, reasoning + "Well.")
        assert not allows(source, reasoning)
    assert [grammar.param for grammar in grammars] == ["guided_regex", "tools"]


async def test_a_model_without_reasoning_keeps_the_plain_grammar(
    api: Api, engine: FakeEngineClient
) -> None:
    await api.chat(guided_choice=["yes", "no"])

    grammar = engine.requests[0].params.grammar
    assert grammar is not None
    assert (grammar.control_tokens, grammar.param) == ((), "guided_choice")
    assert engine.requests[0].params.control_tokens == ()
