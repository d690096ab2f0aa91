"""Forced calls and structured answers, on a real model over real processes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.conftest import Q4_0

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

pytestmark = [pytest.mark.e2e, pytest.mark.model]

CITIES = ["Paris", "Rome", "Oslo"]
WEATHER: dict[str, Any] = {
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"enum": CITIES}},
        "required": ["city"],
    },
}
CLOCK: dict[str, Any] = {
    "name": "clock",
    "parameters": {"type": "object", "properties": {}},
}
NOTE: dict[str, Any] = {
    "name": "note",
    "parameters": {
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
    },
}


def asked(question: str, function: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {
        "model": Q4_0,
        "messages": [{"role": "user", "content": question}],
        "temperature": 0,
        "tools": [{"type": "function", "function": function}],
        **members,
    }


def choice_of(api: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    answer = api.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    choice: dict[str, Any] = answer.json()["choices"][0]
    return choice


def streamed_choice_of(api: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    """Return the choice that a stream's chunks make."""
    calls: list[dict[str, Any]] = []
    reason = None
    with api.stream("POST", "/v1/chat/completions", json={**body, "stream": True}) as r:
        for chunk in chunks_of(r):
            for choice in chunk["choices"]:
                reason = choice["finish_reason"] or reason
                for call in choice["delta"].get("tool_calls", ()):
                    if "id" in call:
                        calls.append({"function": dict(call["function"])})
                    else:
                        more = call["function"]["arguments"]
                        calls[-1]["function"]["arguments"] += more
    return {"finish_reason": reason, "message": {"tool_calls": calls}}


def chunks_of(response: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in response.iter_lines():
        if line.startswith("data: {"):
            yield json.loads(line.removeprefix("data: "))


def called(choice: dict[str, Any]) -> list[tuple[str, str]]:
    functions = [each["function"] for each in choice["message"].get("tool_calls") or ()]
    return [(each["name"], each["arguments"]) for each in functions]


#: How a call is forced; strict tools are free to answer, so they may write a text.
MODES: dict[str, dict[str, Any]] = {
    "named": {},
    "required": {"tool_choice": "required"},
    "required, not parallel": {
        "tool_choice": "required",
        "parallel_tool_calls": False,
    },
    "strict auto": {"tool_choice": "auto"},
}


@pytest.mark.long
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("function", [WEATHER, CLOCK], ids=["arguments", "none"])
def test_a_forced_call_that_is_cut_at_any_length_says_so(
    api: httpx.Client, mode: str, function: dict[str, Any]
) -> None:
    strict = mode == "strict auto"
    members = MODES[mode] or {
        "tool_choice": {"type": "function", "function": {"name": function["name"]}}
    }
    body = asked("What is it in Paris now?", {**function, "strict": strict}, **members)
    whole = choice_of(api, {**body, "max_tokens": 60})
    if not strict:
        assert whole["finish_reason"] == "tool_calls"
    for length in range(1, 61):
        choices = [
            ask(api, {**body, "max_tokens": length})
            for ask in (choice_of, streamed_choice_of)
        ]
        for choice in choices:
            assert choice["finish_reason"] in ("length", whole["finish_reason"])
            if choice["finish_reason"] != "length":
                assert called(choice) == called(whole)
            for _, arguments in called(choice)[:-1]:
                json.loads(arguments)
        if choices[0]["finish_reason"] == whole["finish_reason"] != "length":
            break
    else:
        assert whole["finish_reason"] == "length"


def test_a_named_call_that_is_cut_does_not_claim_success(api: httpx.Client) -> None:
    named = {"type": "function", "function": {"name": "note"}}
    body = asked(
        "Write a long note about cats.", NOTE, tool_choice=named, max_tokens=20
    )

    assert choice_of(api, body)["finish_reason"] == "length"
    assert streamed_choice_of(api, body)["finish_reason"] == "length"


def test_a_required_call_is_not_repeated_until_the_tokens_end(
    api: httpx.Client,
) -> None:
    body = asked(
        "What is the weather in Paris?", WEATHER, tool_choice="required", max_tokens=400
    )

    for ask in (choice_of, streamed_choice_of):
        choice = ask(api, body)
        calls = called(choice)

        assert choice["finish_reason"] == "tool_calls"
        assert len(calls) == len({*calls})
        assert len(calls) <= len(CITIES)
        assert all(json.loads(each).keys() == {"city"} for _, each in calls)


def test_a_tool_without_arguments_is_called_with_an_empty_object(
    api: httpx.Client,
) -> None:
    body = asked("What time is it?", CLOCK, tool_choice="required", max_tokens=60)

    assert called(choice_of(api, body)) == [("clock", "{}")]


def test_a_keyword_that_no_grammar_enforces_refuses_no_request(
    api: httpx.Client,
) -> None:
    limit = {"type": "integer", "format": "int64", "minimum": 0, "maximum": 9}
    function = {
        "name": "list_issues",
        "parameters": {"type": "object", "properties": {"limit": limit}},
    }
    body = asked("List five issues.", function, tool_choice="required", max_tokens=60)

    answer = api.post("/v1/chat/completions", json=body)

    assert answer.status_code == 200, answer.text
    assert answer.headers["x-llm-manager-left-out"] == (
        "tools[0].function.parameters.properties.limit.format"
    )
    (call,) = answer.json()["choices"][0]["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"]).keys() <= {"limit"}


def test_digits_are_those_of_ascii(api: httpx.Client) -> None:
    body = {
        "model": Q4_0,
        "messages": [{"role": "user", "content": "Give me a US phone number."}],
        "temperature": 0,
        "max_tokens": 60,
        "guided_regex": r"\d{3}-\d{4}",
    }

    content = choice_of(api, body)["message"]["content"]

    assert re.fullmatch("[0-9]{3}-[0-9]{4}", content)


def test_structured_json_is_in_one_style_and_ends(api: httpx.Client) -> None:
    schema = {
        "type": "object",
        "properties": {"setup": {"enum": ["Hamlet", "Ophelia"]}, "v": {"enum": [1, 2]}},
        "required": ["setup", "v"],
    }
    body = {
        "model": Q4_0,
        "messages": [{"role": "user", "content": "Tell a joke about Hamlet."}],
        "temperature": 0,
        "max_tokens": 30,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "joke", "schema": schema},
        },
    }

    choice = choice_of(api, body)

    assert choice["finish_reason"] == "stop"
    content = choice["message"]["content"]
    assert content == json.dumps(json.loads(content))


def test_the_input_of_a_custom_tool_matches_its_lark_grammar(api: httpx.Client) -> None:
    definition = (
        'start: "*** Begin" LF line{1,2} "*** \\"End\\""\n'
        "line: /[+-][a-z]{1,5}/ LF\n%import common.LF\n"
    )
    grammar = {"type": "grammar", "syntax": "lark", "definition": definition}
    body = {
        "model": Q4_0,
        "input": "Change the file.",
        "temperature": 0,
        "tools": [{"type": "custom", "name": "patch", "format": grammar}],
        "tool_choice": {"type": "custom", "name": "patch"},
    }

    answer = api.post("/v1/responses", json=body)

    assert answer.status_code == 200, answer.text
    (call,) = answer.json()["output"]
    assert call["type"] == "custom_tool_call"
    pattern = r'\*{3} Begin\n([+-][a-z]{1,5}\n){1,2}\*{3} "End"'
    assert re.fullmatch(pattern, call["input"]), call
