"""What Claude Code sends, answered by a real model and its prefix cache."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.conftest import Q4_0

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

pytestmark = [pytest.mark.e2e, pytest.mark.model]

#: Of an agent's 11,000 tokens, as many as the sample model's context has room for.
_WORDS = 3000


def first_turn(number: int) -> dict[str, Any]:
    """Return the first request of a conversation; its first line has a new hash."""
    kept = {"cache_control": {"type": "ephemeral"}}
    line = f"x-anthropic-billing-header: cc_version=2.1.37; cch=fa6{number:02};"
    words = " ".join(f"rule {i} holds." for i in range(_WORDS // 3))
    return {
        "model": Q4_0,
        "max_tokens": 8,
        "temperature": 0,
        "system": [
            {"type": "text", "text": line},
            {"type": "text", "text": words, **kept},
        ],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hello."}]},
            {
                "role": "system",
                "content": [{"type": "text", "text": "Be brief.", **kept}],
            },
        ],
        "tools": [
            {
                "name": "Read",
                "description": "Reads a file.",
                "input_schema": {
                    "type": "object",
                    "properties": {"file_path": {"type": "string"}},
                    "required": ["file_path"],
                },
            }
        ],
        "thinking": {"type": "adaptive", "display": "omitted"},
        "output_config": {"effort": "high"},
    }


def send(api: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a message, by Anthropic's headers."""
    key = api.headers["Authorization"].removeprefix("Bearer ")
    headers = {"x-api-key": key, "anthropic-version": "2023-06-01", "authorization": ""}
    response = api.post("/v1/messages", json=body, headers=headers)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


@pytest.mark.long
def test_the_second_turn_of_an_agent_comes_from_the_cache(
    api: httpx.Client, data_dir: Path
) -> None:
    body = first_turn(1)
    answer = send(api, body)
    body["messages"] += [
        {"role": "assistant", "content": answer["content"]},
        {"role": "user", "content": [{"type": "text", "text": "And now?"}]},
    ]

    usage = send(api, {**first_turn(2), "messages": body["messages"]})["usage"]

    cached = usage["cache_read_input_tokens"]
    total = cached + usage["input_tokens"]
    print(json.dumps({"tokens": total, "cached": cached}))  # noqa: T201
    assert total > _WORDS
    assert cached / total >= 0.95
    key = api.headers["Authorization"].removeprefix("Bearer ")
    assert key not in (data_dir / "log").read_text()
