"""Earlier messages as clients send them back, and members that ask for little."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from inference.engine.sampling.logprobs import TokenLogprob, TokenLogprobs
from tests.fakes import begun, finished, tokens
from tests.inference.api.tool_models import (
    NOW,
    TEMPLATE,
    choice_of,
    chunks_of,
    make_tool_model,
    script,
    whole,
)

if TYPE_CHECKING:
    from inference.engine.output import SequenceOutput
    from tests.fakes import FakeEngineClient
    from tests.inference.api.conftest import Api

ASK = {"role": "user", "content": "Hi"}
MAY_THINK = "{# <tool_call> <think> #}" + TEMPLATE
THOUGHT = "<think>\nHm.\n</think>\n\nYes."


def answer(**members: Any) -> dict[str, Any]:
    return {"role": "assistant", **members}


def called(**members: Any) -> list[dict[str, Any]]:
    """Return messages with a call, which has these members, and its result."""
    call = {"id": "c", "type": "function", "function": {"name": "now"}, **members}
    return [
        answer(content=None, tool_calls=[call]),
        {"role": "tool", "tool_call_id": "c", "content": "noon"},
    ]


async def prompt_of(api: Api, engine: FakeEngineClient, *messages: Any) -> str:
    """Return the prompt of messages between two of the user."""
    await make_tool_model("hermes", template=MAY_THINK)
    response = await api.chat(model="hermes", messages=[ASK, *messages, ASK])
    assert response.status_code == 200, response.content
    return str(engine.requests[-1].prompt)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (answer(), "[assistant  ]"),
        (answer(content=None), "[assistant  ]"),
        (answer(content=""), "[assistant  ]"),
        (answer(content=None, tool_calls=[]), "[assistant  ]"),
        (answer(content=None, reasoning_content="Hm."), "[assistant  Hm.]"),
        (answer(content=None, reasoning="Hm."), "[assistant  Hm.]"),
        (answer(content="Yes.", reasoning="Hm."), "[assistant  Yes.Hm.]"),
        (
            answer(content="Yes.", reasoning="Hm.", reasoning_content="Hm."),
            "[assistant  Yes.Hm.]",
        ),
        (
            answer(
                content=[
                    {
                        "type": "text",
                        "text": "Yes.",
                        "cache_control": {"type": "ephemeral"},
                    }
                ]
            ),
            "[assistant  Yes.]",
        ),
    ],
)
async def test_an_answer_comes_back_as_clients_have_it(
    api: Api, engine: FakeEngineClient, message: dict[str, Any], shown: str
) -> None:
    assert await prompt_of(api, engine, message) == f"[user  Hi]{shown}[user  Hi]"


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ({}, "{}"),
        ({"arguments": None}, "{}"),
        ({"arguments": ""}, "{}"),
        ({"arguments": {"zone": "é"}}, '{"zone": "é"}'),
        ({"arguments": '{"zone": "é"}'}, '{"zone": "é"}'),
        ({"arguments": "not JSON"}, '"not JSON"'),
    ],
)
async def test_arguments_come_back_in_any_form(
    api: Api, engine: FakeEngineClient, arguments: dict[str, Any], shown: str
) -> None:
    messages = called(function={"name": "now", **arguments})

    prompt = await prompt_of(api, engine, *messages)

    assert f'c{{"name": "now", "arguments": {shown}}}' in prompt


async def test_a_call_comes_back_with_its_number_in_a_stream(
    api: Api, engine: FakeEngineClient
) -> None:
    assert "noonc]" in await prompt_of(api, engine, *called(index=0))


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (None, ""),
        ([], ""),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "a\nb"),
    ],
)
async def test_a_tool_may_return_nothing_or_several_texts(
    api: Api, engine: FakeEngineClient, content: Any, shown: str
) -> None:
    call, result = called()

    prompt = await prompt_of(api, engine, call, {**result, "content": content})

    assert f"[tool now {shown}c]" in prompt


async def test_two_names_of_reasoning_that_differ_are_refused(api: Api) -> None:
    message = answer(content="Yes.", reasoning="Hm.", reasoning_content="Oh.")

    response = await api.chat(messages=[ASK, message, ASK])

    assert response.status_code == 400
    assert response.json()["error"]["param"] == "messages[1].reasoning"


# Members -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body", [{"reasoning": {"exclude": True}}, {"include_reasoning": False}]
)
async def test_reasoning_that_is_excluded_is_nowhere_but_counted(
    api: Api, engine: FakeEngineClient, body: dict[str, Any]
) -> None:
    await make_tool_model("hermes", template=MAY_THINK)
    script(engine, THOUGHT, 4)
    script(engine, THOUGHT, 4)

    response = await api.chat(model="hermes", **body)
    chunks = await chunks_of(api, model="hermes", **body)

    message = response.json()["choices"][0]["message"]
    details = response.json()["usage"]["completion_tokens_details"]
    assert message == {"role": "assistant", "content": "Yes.", "refusal": None}
    assert details["reasoning_tokens"] > 0
    assert whole(chunks) == {"content": "Yes."}


async def test_reasoning_is_enabled_and_disabled_in_openrouters_words(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("switch", template="{{ thinking }}{# <think> #}")

    for enabled in (True, False):
        await api.chat(model="switch", reasoning={"enabled": enabled})

    assert [request.prompt for request in engine.requests] == ["True", "False"]


async def test_enabling_what_a_model_has_not_is_left_out_and_said(api: Api) -> None:
    off = await api.chat(reasoning={"enabled": False, "exclude": True})
    on = await api.chat(reasoning={"enabled": True})

    assert (off.status_code, on.status_code) == (200, 200)
    assert "x-llm-manager-left-out" not in off
    assert on["x-llm-manager-left-out"] == "reasoning.enabled"


async def test_names_that_a_template_does_not_show_are_said(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("hermes")
    messages = [{**ASK, "name": "ann"}, answer(content="Yes.", name="bot"), ASK]

    said = await api.chat(messages=messages)
    shown = await api.chat(model="hermes", messages=messages)

    assert said["x-llm-manager-left-out"] == "messages[0].name, messages[1].name"
    assert "x-llm-manager-left-out" not in shown
    assert "[user ann Hi]" in str(engine.requests[-1].prompt)


async def test_excluded_reasoning_has_no_logprobs(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("hermes", template=MAY_THINK)

    def likely(text: str) -> SequenceOutput:
        logprobs = TokenLogprobs(TokenLogprob(7, text.encode(), -0.5))
        return tokens(text, logprobs=(logprobs,))

    pieces = ("<think>", "Hm.", "</think>", "Yes.")
    engine.enqueue(begun(), [likely(piece) for piece in pieces], [finished()])

    choice = await choice_of(
        api, model="hermes", logprobs=True, reasoning={"exclude": True}
    )

    assert choice["message"]["content"] == "Yes."
    assert [each["token"] for each in choice["logprobs"]["content"]] == ["Yes."]


async def test_hints_about_the_server_are_left_out_and_said(api: Api) -> None:
    asked = await api.chat(
        verbosity="low",
        service_tier="flex",
        prompt_cache_retention="24h",
        prompt_cache_options={"mode": "explicit"},
        prompt_cache_key="k",
        safety_identifier="s",
        store=True,
        cache_prompt=False,
        id_slot=3,
        keep_alive="5m",
    )
    anyway = await api.chat(service_tier="auto", verbosity=None)

    assert (asked.status_code, anyway.status_code) == (200, 200)
    assert asked["x-llm-manager-left-out"] == (
        "cache_prompt, id_slot, keep_alive, prompt_cache_key, prompt_cache_options, "
        "prompt_cache_retention, safety_identifier, service_tier, store, verbosity"
    )
    assert "x-llm-manager-left-out" not in anyway


async def test_labels_are_taken(api: Api) -> None:
    labels = {"sessionId": "a1", "tags": ["x"]}

    assert (await api.chat(metadata=labels)).status_code == 200


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_minus_one_is_no_limit_but_the_context(
    api: Api, engine: FakeEngineClient, name: str
) -> None:
    await api.chat(**{name: -1})
    await api.complete(max_tokens=-1)

    assert [request.params.max_tokens for request in engine.requests] == [None, None]


async def test_a_last_answer_without_content_is_an_answer_of_its_own(
    api: Api, engine: FakeEngineClient
) -> None:
    choice = await choice_of(api, messages=[ASK, answer(content=None)], tools=[NOW])

    assert str(engine.requests[-1].prompt).endswith("<|im_start|>assistant\n")
    assert choice["finish_reason"] == "stop"
