"""The thinking budget: requested by several names, refused where it has no effect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from inference.engine.sampling.thinking_budget import ThinkingBudget
from inference.transport.codec import from_wire, to_wire
from inference.transport.messages.requests import QueuedRequest
from tests.inference.api.tool_models import TEMPLATE, make_tool_model, template_of

if TYPE_CHECKING:
    from tests.fakes import FakeEngineClient
    from tests.inference.api.conftest import Api

MAY_THINK = "{# <tool_call> <think> #}" + TEMPLATE
MUST_THINK = TEMPLATE + "<think>\n"
THINK = ThinkingBudget(7, ("<think>",), ("</think>",), "\n</think>\n\n")


async def refusal(api: Api, **body: Any) -> dict[str, Any]:
    response = await api.chat(**body)
    assert response.status_code == 400, response.content
    error: dict[str, Any] = response.json()["error"]
    return error


@pytest.mark.parametrize(
    "body",
    [
        {"thinking_budget": 7},
        {"thinking_token_budget": 7},
        {"thinking_budget_tokens": 7},
        {"reasoning_budget_tokens": 7},
        {"reasoning": {"max_tokens": 7}},
        {"chat_template_kwargs": {"thinking_budget": 7}},
        {"thinking_budget": 7, "reasoning": {"max_tokens": 7}},
    ],
)
async def test_each_name_of_the_budget_is_known(
    api: Api, engine: FakeEngineClient, body: dict[str, Any]
) -> None:
    await make_tool_model("hermes", template=MAY_THINK)

    await api.chat(model="hermes", n=2, **body)

    assert [request.params.thinking for request in engine.requests] == [THINK, THINK]


async def test_a_budget_counts_reasoning_that_the_prompt_has_begun(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("r1", template=MUST_THINK)

    await api.chat(model="r1", thinking_budget=0)

    assert engine.requests[0].params.thinking.is_begun
    assert engine.requests[0].params.thinking.max_tokens == 0


async def test_a_format_of_channels_is_closed_in_its_own_words(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("harmony")

    await api.chat(model="harmony", thinking_budget=7)

    thinking = engine.requests[0].params.thinking
    assert thinking.closing == "<|end|><|start|>assistant"
    assert thinking.last_closing.endswith("<|channel|>final<|message|>")


async def test_minus_one_is_no_limit(api: Api, engine: FakeEngineClient) -> None:
    await make_tool_model("hermes", template=MAY_THINK)

    await api.chat(model="hermes", thinking_budget=-1)

    assert engine.requests[0].params.thinking is None


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"thinking_budget": 7, "thinking_token_budget": 8}, "thinking_token_budget"),
        (
            {"thinking_budget": 7, "reasoning": {"max_tokens": 8}},
            "reasoning.max_tokens",
        ),
        ({"thinking_budget": -2}, "thinking_budget"),
        ({"thinking_budget": "much"}, "thinking_budget"),
        ({"reasoning": {"max_tokens": 1.5}}, "reasoning.max_tokens"),
        (
            {"reasoning": {"exclude": True}, "reasoning_format": "none"},
            "reasoning.exclude",
        ),
        ({"include_reasoning": False, "reasoning_format": "none"}, "include_reasoning"),
        (
            {"reasoning": {"enabled": False}, "reasoning_effort": "low"},
            "reasoning.enabled",
        ),
        (
            {"reasoning": {"enabled": True}, "reasoning_effort": "none"},
            "reasoning.enabled",
        ),
        (
            {"chat_template_kwargs": {"thinking_budget": "much"}},
            "chat_template_kwargs.thinking_budget",
        ),
        (
            {"reasoning_effort": "low", "reasoning": {"effort": "high"}},
            "reasoning.effort",
        ),
        ({"thinking": {"budget_tokens": 7}}, "thinking"),
    ],
)
async def test_unsupported_members_are_refused_by_name(
    api: Api, body: dict[str, Any], param: str
) -> None:
    await make_tool_model("hermes", template=MAY_THINK)

    assert (await refusal(api, model="hermes", **body))["param"] == param


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"thinking_budget": 7}, "thinking_budget"),
        ({"thinking_token_budget": 7}, "thinking_token_budget"),
        ({"reasoning": {"max_tokens": 7}}, "reasoning.max_tokens"),
        (
            {"chat_template_kwargs": {"thinking_budget": 7}},
            "chat_template_kwargs.thinking_budget",
        ),
    ],
)
async def test_a_budget_of_a_model_that_does_not_think_is_left_out_and_said(
    api: Api, engine: FakeEngineClient, body: dict[str, Any], path: str
) -> None:
    some, none = await api.chat(**body), await api.chat(thinking_budget=0)

    assert [request.params.thinking for request in engine.requests] == [None, None]
    assert some["x-llm-manager-left-out"] == path
    assert "x-llm-manager-left-out" not in none


@pytest.mark.parametrize("name", ["enable_thinking", "thinking"])
async def test_a_switch_that_a_template_has_not_means_what_an_effort_means(
    api: Api, engine: FakeEngineClient, name: str
) -> None:
    await make_tool_model("hermes", template=MAY_THINK)
    answers = {
        (model, value): await api.chat(model=model, chat_template_kwargs={name: value})
        for model in ("tiny", "hermes")
        for value in (True, False)
    }

    budgets = [request.params.thinking for request in engine.requests]
    assert {answer.status_code for answer in answers.values()} == {200}
    assert budgets[:3] == [None, None, None]
    assert budgets[3] is not None
    assert budgets[3].max_tokens == 0
    said = {key for key, each in answers.items() if "x-llm-manager-left-out" in each}
    assert said == {("tiny", True)}


async def test_a_switch_with_words_is_an_unknown_variable_for_other_templates(
    api: Api,
) -> None:
    for value in (True, False, "enabled"):
        answer = await api.chat(chat_template_kwargs={"thinking_mode": value})

        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "unsupported_parameter"


@pytest.mark.parametrize(("budget", "prompt"), [(0, "0|False"), (7, "7|"), (None, "|")])
async def test_a_template_that_reads_the_budget_gets_it(
    api: Api, engine: FakeEngineClient, budget: int | None, prompt: str
) -> None:
    source = "{{ thinking_budget }}|{{ enable_thinking }}{# <think> #}"
    await make_tool_model("seed", template=source)

    await api.chat(model="seed", thinking_budget=budget)

    assert engine.requests[0].prompt == prompt


async def test_the_effort_may_come_in_an_object(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("thinker", template="{{ reasoning_effort }}{# <think> #}")

    await api.chat(model="thinker", reasoning={"effort": "high"})

    assert engine.requests[0].prompt == "high"


async def test_a_schema_and_a_required_call_apply_after_the_reasoning(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("hermes", template=template_of("hermes") + "{# <think> #}")
    tools = [{"type": "function", "function": {"name": "now"}}]

    for body in ({"response_format": {"type": "json_object"}}, {"tools": tools}):
        await api.chat(model="hermes", thinking_budget=7, **body)

    assert [request.params.thinking for request in engine.requests] == [THINK, THINK]
    assert engine.requests[0].params.grammar is not None


async def test_the_budget_reaches_the_worker(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("hermes", template=MAY_THINK)
    await api.chat(model="hermes", thinking_budget=7)
    params = engine.requests[0].params
    message = QueuedRequest(engine.requests[0], "reply", deadline=1.0)

    assert from_wire(to_wire(message)).request.params == params


async def test_text_completions_have_no_reasoning(api: Api) -> None:
    response = await api.complete(thinking_budget=7)

    assert response.json()["error"]["code"] == "unknown_parameter"
