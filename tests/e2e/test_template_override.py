"""A model that is given another template while it serves: it thinks, within bounds."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.conftest import Q4_0
from tests.e2e.test_serving import until
from tests.shared_server import client_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from tests.whole_server import Server

pytestmark = [pytest.mark.e2e, pytest.mark.model]

#: ChatML whose answers begin with reasoning, and whose calls are Hermes'.
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
    "{% endfor %}{% for tool in tools or [] %}<tool_call>{{ tool | tojson }}"
    "{% endfor %}<|im_start|>assistant\n{{ '<think>\n' }}"
)
BUDGET = 6
#: The tags around the reasoning and the line breaks: at most this many tokens.
TAG_TOKENS = 8
WEATHER = {
    "name": "get_weather",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"city": {"enum": ["Paris", "Rome"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


@pytest.fixture(scope="module", autouse=True)
def _thinking(server: Server, data_dir: Path) -> Iterator[None]:
    """Give the model the template as the admin does, and take it away again."""

    def is_thinking() -> bool:
        messages = [{"role": "user", "content": "Hello"}]
        body = {"model": Q4_0, "messages": messages}
        with client_of(server) as api:
            prompt: str = api.post("/apply-template", json=body).json()["prompt"]
        return prompt.endswith("<think>\n")

    def override(template: str) -> None:
        with closing(sqlite3.connect(data_dir / "db.sqlite3")) as database, database:
            statement = "UPDATE registry_model SET template_override = ? WHERE name = ?"
            assert database.execute(statement, (template, Q4_0)).rowcount == 1

    # The web process believes the row that it has read for a second.
    override(TEMPLATE)
    until(is_thinking, "the template is the one that was given")
    yield
    override("")
    until(lambda: not is_thinking(), "the template is the model's own")


def ask(api: httpx.Client, **fields: Any) -> Any:
    body = {
        "model": Q4_0,
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
        "thinking_budget": BUDGET,
        "max_tokens": 60,
        "temperature": 0,
        **fields,
    }
    answer = api.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    return answer


def test_reasoning_ends_and_every_answer_continues(api: httpx.Client) -> None:
    answer = ask(api, n=2).json()

    for choice in answer["choices"]:
        assert choice["message"]["reasoning_content"]
        assert choice["message"]["content"]
    details = answer["usage"]["completion_tokens_details"]
    assert 2 * BUDGET <= details["reasoning_tokens"] <= 2 * (BUDGET + TAG_TOKENS)


def test_a_schema_applies_after_the_reasoning_in_a_stream(api: httpx.Client) -> None:
    schema = {"name": "a", "schema": WEATHER["parameters"]}
    response_format = {"type": "json_schema", "json_schema": schema}

    text = ask(api, response_format=response_format, stream=True).text
    # The other lines are comments that keep the connection alive.
    *chunks, end = [
        line.removeprefix("data: ")
        for line in text.split("\n\n")
        if line.startswith("data: ")
    ]
    assert end == "[DONE]"
    deltas = [
        each["delta"] for chunk in chunks for each in json.loads(chunk)["choices"]
    ]

    assert "".join(delta.get("reasoning_content") or "" for delta in deltas)
    content = "".join(delta.get("content") or "" for delta in deltas)
    assert json.loads(content)["city"] in ("Paris", "Rome")


def test_a_budget_of_zero_allows_no_reasoning(api: httpx.Client) -> None:
    message = ask(api, thinking_budget=0).json()["choices"][0]["message"]

    assert not message.get("reasoning_content")
    assert message["content"]


def test_a_strict_tool_leaves_text_free_and_binds_its_calls(api: httpx.Client) -> None:
    tools = [{"type": "function", "function": WEATHER}]
    begun = {"role": "user", "content": "Weather in Rome? Call get_weather."}
    bias = {"<tool_call>": 8}

    for fields in ({}, {"logit_bias": bias, "temperature": 1, "seed": 3}):
        choice = ask(api, tools=tools, messages=[begun], **fields).json()["choices"][0]
        for call in choice["message"].get("tool_calls", ()):
            if choice["finish_reason"] == "tool_calls":
                arguments = json.loads(call["function"]["arguments"])
                assert arguments["city"] in ("Paris", "Rome")
        assert choice["message"]["content"] or choice["message"]["tool_calls"]
