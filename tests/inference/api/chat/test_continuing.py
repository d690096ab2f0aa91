"""An answer that the request has begun: content, or reasoning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.inference.api.tool_models import (
    NOW,
    TEMPLATE,
    choice_of,
    make_tool_model,
    script,
    template_of,
)

if TYPE_CHECKING:
    from tests.fakes import FakeEngineClient
    from tests.inference.api.conftest import Api

ASK = {"role": "user", "content": "Capital?"}
BEGUN = {"role": "assistant", "content": "It is "}
REASONING = {"role": "assistant", "content": "", "reasoning_content": "Hm, Fra"}
BOTH = {"role": "assistant", "content": "It is ", "reasoning_content": "France."}
MAY_THINK = "{# <tool_call> <think> #}" + TEMPLATE
MUST_THINK = TEMPLATE + "{{ '<think>\\n' }}"


async def prompt_of(api: Api, engine: FakeEngineClient, **body: Any) -> str:
    response = await api.chat(**body)
    assert response.status_code == 200, response.content
    return str(engine.requests[-1].prompt)


async def refused_param(api: Api, **body: Any) -> str:
    response = await api.chat(**body)
    assert response.status_code == 400, response.content
    return str(response.json()["error"]["param"])


async def test_an_assistants_last_message_is_gone_on_with(
    api: Api, engine: FakeEngineClient
) -> None:
    script(engine, "Paris.")

    choice = await choice_of(api, messages=[ASK, BEGUN])

    assert engine.requests[0].prompt == (
        "<|im_start|>user\nCapital?<|im_end|>\n<|im_start|>assistant\nIt is "
    )
    assert choice["message"]["content"] == "Paris."


async def test_what_the_model_adds_is_never_nothing(
    api: Api, engine: FakeEngineClient
) -> None:
    await prompt_of(api, engine, messages=[ASK, BEGUN])
    await prompt_of(api, engine, messages=[ASK])
    await prompt_of(api, engine, messages=[ASK, BEGUN], min_tokens=7)

    least = [request.params.min_tokens for request in engine.requests]
    assert least == [1, 0, 7]


@pytest.mark.parametrize(
    "body",
    [
        {"response_format": {"type": "json_object"}},
        {"guided_regex": "a+"},
        {"tools": [NOW], "tool_choice": "required"},
        {
            "tools": [NOW],
            "tool_choice": {"type": "function", "function": {"name": "now"}},
        },
        {"tools": [{**NOW, "function": {"name": "now", "strict": True}}]},
        {"functions": [{"name": "now"}], "function_call": {"name": "now"}},
    ],
)
@pytest.mark.parametrize("last", [BEGUN, REASONING])
async def test_an_answer_that_must_match_something_is_one_of_its_own(
    api: Api, engine: FakeEngineClient, body: dict[str, Any], last: dict[str, Any]
) -> None:
    prompt = await prompt_of(api, engine, messages=[ASK, last], **body)

    answer = f"<|im_start|>assistant\n{last['content']}<|im_end|>\n"
    assert prompt.endswith(answer + "<|im_start|>assistant\n")
    assert engine.requests[-1].params.grammar is not None
    assert engine.requests[-1].params.min_tokens == 0


@pytest.mark.parametrize(
    "body", [{"continue_final_message": False}, {"add_generation_prompt": True}]
)
async def test_it_is_answered_when_requested(
    api: Api, engine: FakeEngineClient, body: dict[str, bool]
) -> None:
    prompt = await prompt_of(api, engine, messages=[ASK, BEGUN], **body)

    assert prompt.endswith("It is <|im_end|>\n<|im_start|>assistant\n")


async def test_vllms_members_together_mean_the_same(
    api: Api, engine: FakeEngineClient
) -> None:
    body = {"continue_final_message": True, "add_generation_prompt": False}

    prompt = await prompt_of(api, engine, messages=[ASK, BEGUN], **body)

    assert prompt.endswith("<|im_start|>assistant\nIt is ")


@pytest.mark.parametrize(
    ("template", "last", "ending"),
    [
        (MAY_THINK, BEGUN, "[user  Capital?]It is "),
        (MAY_THINK, REASONING, "[user  Capital?]<think>\nHm, Fra"),
        (MAY_THINK, BOTH, "?]<think>\nFrance.\n</think>\n\nIt is "),
        (MUST_THINK, BEGUN, "?]<think>\n\n</think>\n\nIt is "),
        (MUST_THINK, REASONING, "?]<think>\nHm, Fra"),
        (MUST_THINK, BOTH, "?]<think>\nFrance.\n</think>\n\nIt is "),
        (
            template_of("harmony"),
            BOTH,
            "<|channel|>analysis<|message|>France.<|end|><|start|>assistant"
            "<|channel|>final<|message|>It is ",
        ),
    ],
)
async def test_reasoning_is_written_as_the_model_would(
    api: Api,
    engine: FakeEngineClient,
    template: str,
    last: dict[str, str],
    ending: str,
) -> None:
    await make_tool_model("m", template=template)

    prompt = await prompt_of(api, engine, model="m", messages=[ASK, last])

    assert prompt.endswith(ending)


async def test_reasoning_that_the_request_begins_continues(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("m", template=MAY_THINK)
    for _ in range(2):
        script(engine, "nce.</think>Paris.")

    thinking = await choice_of(api, model="m", messages=[ASK, REASONING])
    answering = await choice_of(api, model="m", messages=[ASK, BEGUN])

    assert thinking["message"]["reasoning_content"] == "nce."
    assert thinking["message"]["content"] == "Paris."
    assert answering["message"]["content"] == "nce.</think>Paris."


async def test_reasoning_that_the_request_begins_has_a_budget_too(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("m", template=MAY_THINK)

    await prompt_of(
        api, engine, model="m", messages=[ASK, REASONING], thinking_budget=3
    )

    assert engine.requests[0].params.thinking.is_begun


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": [ASK], "continue_final_message": True}, "continue_final_message"),
        ({"messages": [ASK], "add_generation_prompt": False}, "add_generation_prompt"),
        (
            {
                "messages": [ASK, BEGUN],
                "continue_final_message": True,
                "add_generation_prompt": True,
            },
            "add_generation_prompt",
        ),
        (
            {
                "messages": [ASK, BEGUN],
                "continue_final_message": True,
                "response_format": {"type": "json_object"},
            },
            "continue_final_message",
        ),
        (
            {"messages": [BEGUN], "continue_final_message": True},
            "continue_final_message",
        ),
    ],
)
async def test_invalid_values_are_refused_by_name(
    api: Api, body: dict[str, Any], param: str
) -> None:
    assert await refused_param(api, **body) == param


async def test_a_refusal_may_come_back_as_a_part_of_the_assistants(
    api: Api, engine: FakeEngineClient
) -> None:
    part = {"type": "refusal", "refusal": "I won't."}
    said = {"role": "assistant", "content": [part]}

    prompt = await prompt_of(api, engine, messages=[ASK, said, ASK])
    param = await refused_param(api, messages=[{"role": "user", "content": [part]}])

    assert "<|im_start|>assistant\nI won't.<|im_end|>" in prompt
    assert param == "messages[0].content[0].type"
