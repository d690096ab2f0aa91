"""What real servers answer arrives as they give it: calls, schemas, logprobs, APIs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.upstreams.rows import CHAT, COLOUR, HI, chat

if TYPE_CHECKING:
    import httpx

    from tests.e2e.upstreams.engines import Engine

pytestmark = [pytest.mark.e2e, pytest.mark.model, pytest.mark.long]
COLOURS = ("red", "green")
LOOK = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Look at a colour.",
        "parameters": COLOUR,
    },
}
CALL = {
    "tools": [LOOK],
    "tool_choice": {"type": "function", "function": {"name": "look"}},
    "max_tokens": 64,
}
BODIES: dict[str, dict[str, Any]] = {
    "messages": {"messages": HI, "max_tokens": 16},
    "responses": {"input": HI, "max_output_tokens": 16, "store": False},
}
#: What an API's answers call their counts, and how a stream of it ends.
COUNTS = ("input_tokens", "output_tokens")
LAST = {
    "messages": ("message_stop",),
    # 16 tokens are fewer than the answer has.
    "responses": ("response.completed", "response.incomplete"),
}


@pytest.fixture
def calls_tools(far: str) -> str:
    """The name here of a model whose tools are enforced."""
    if far == "far-llama-server":
        # The sample model's template shows no tools, and nothing then enforces them.
        pytest.skip("this llama-server writes text, whatever 'tool_choice' is")
    return far


def test_a_tools_call_is_the_upstreams(
    api: httpx.Client, engine: Engine, calls_tools: str
) -> None:
    there = engine.post("/chat/completions", chat(engine.models["chat"], **CALL))
    response = api.post(CHAT, json=chat(calls_tools, **CALL))
    assert response.status_code == 200, response.text
    [call] = response.json()["choices"][0]["message"]["tool_calls"]
    [same] = there.json()["choices"][0]["message"]["tool_calls"]
    assert call["function"] == same["function"]
    assert call["function"]["name"] == "look"
    arguments = json.loads(call["function"]["arguments"])
    # vLLM's parser for this notation lets a model write any JSON as arguments.
    if engine.dialect != "vllm":
        assert arguments["colour"] in COLOURS


def test_a_tools_call_is_streamed_as_the_upstream_writes_it(
    api: httpx.Client, engine: Engine, calls_tools: str
) -> None:
    there = engine.post(
        "/chat/completions", chat(engine.models["chat"], stream=True, **CALL)
    )
    here = api.post(CHAT, json=chat(calls_tools, stream=True, **CALL))
    name, arguments = _call_of(here.text)
    assert (name, arguments) == _call_of(there.text)
    assert name == "look"
    json.loads(arguments)


def test_an_answer_obeys_a_schema(api: httpx.Client, far: str) -> None:
    schema = {"name": "colour", "strict": True, "schema": COLOUR}
    asked = {"type": "json_schema", "json_schema": schema}
    response = api.post(CHAT, json=chat(far, response_format=asked, max_tokens=64))
    assert response.status_code == 200, response.text
    answer = json.loads(response.json()["choices"][0]["message"]["content"])
    assert list(answer) == ["colour"]
    assert answer["colour"] in COLOURS


def test_logprobs_are_the_upstreams(
    api: httpx.Client, engine: Engine, far: str
) -> None:
    asked = {"logprobs": True, "top_logprobs": 2, "max_tokens": 4}
    there = engine.post("/chat/completions", chat(engine.models["chat"], **asked))
    here = api.post(CHAT, json=chat(far, **asked))
    found = here.json()["choices"][0]["logprobs"]["content"]
    same = there.json()["choices"][0]["logprobs"]["content"]
    assert [each["token"] for each in found] == [each["token"] for each in same]
    assert [len(each["top_logprobs"]) for each in found] == [2] * 4


@pytest.mark.parametrize("kind", BODIES)
def test_other_apis_are_passed_on_whole(
    api: httpx.Client, engine: Engine, far: str, kind: str
) -> None:
    body = {**BODIES[kind], "temperature": 0}
    there = engine.post(f"/{kind}", {**body, "model": engine.models[kind]})
    response = api.post(f"/v1/{kind}", json={**body, "model": far})
    assert response.status_code == 200, response.text
    here, same = response.json(), there.json()
    assert here["model"] == far
    assert _texts(here) == _texts(same) != []
    assert [here["usage"][name] for name in COUNTS] == [
        same["usage"][name] for name in COUNTS
    ]


@pytest.mark.parametrize("kind", BODIES)
def test_other_apis_are_streamed(
    api: httpx.Client, engine: Engine, far: str, kind: str
) -> None:
    body = {**BODIES[kind], "temperature": 0, "stream": True}
    response = api.post(f"/v1/{kind}", json={**body, "model": far})
    assert response.status_code == 200, response.text
    events = _events(response.text)
    deltas = [each for each in events if each["type"].endswith("delta")]
    assert len(deltas) > 2
    assert events[-1]["type"] in LAST[kind]
    within = ("message", "response")
    named = [event[name] for event in events for name in within if name in event]
    # llama-server's first event of a response names no model.
    assert {each["model"] for each in named if "model" in each} == {far}


def test_a_model_that_it_does_not_list_is_named_by_a_check(
    api: httpx.Client, engine: Engine, far: str
) -> None:
    server = f"server-{engine.dialect}"
    row = {"name": "lost", "upstream": server, "remote_name": "nowhere"}
    made = api.post("/v1/admin/upstream-models", json={**row, "apis": ["chat"]})
    assert made.status_code == 201, made.text
    try:
        checked = api.post(f"/v1/admin/upstreams/{server}/check", json={}).json()
        assert checked["fault"] == "It does not list the model 'nowhere'."
    finally:
        api.delete("/v1/admin/upstream-models/lost").raise_for_status()


def _events(text: str) -> list[dict[str, Any]]:
    """Return the events of a stream with data in JSON."""
    data = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(each) for each in data if each != "[DONE]"]


def _call_of(text: str) -> tuple[str, str]:
    """Return the name and the arguments of the call that a stream of a chat makes."""
    choices = [choice for each in _events(text) for choice in each["choices"]]
    calls = [call for each in choices for call in each["delta"].get("tool_calls") or ()]
    parts = [call["function"] for call in calls]
    name, arguments = (
        "".join(part.get(member) or "" for part in parts)
        for member in ("name", "arguments")
    )
    return name, arguments


def _texts(answer: dict[str, Any]) -> list[str]:
    """Return the texts of a message, or of a response."""
    items = answer.get("output") or [answer]
    parts = [part for item in items for part in item.get("content") or ()]
    return [part["text"] for part in parts if part.get("text")]
