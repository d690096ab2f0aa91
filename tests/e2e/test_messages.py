"""What Claude Code sends, answered by a real model and its prefix cache."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.conftest import Q4_0
from tests.shared_server import client_of
from tests.tiny_models import write_tiny_model
from tests.whole_server import running

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

pytestmark = [pytest.mark.e2e, pytest.mark.model]

#: Of an agent's 11,000 tokens, as many as the sample model's context of 8,192 has room
#: for.
_WORDS = 3000
#: The same with a vocabulary of bytes, and room for all.
_LONG_WORDS = 1600
_LONG = "long"
_CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def first_turn(number: int, model: str = Q4_0, words: int = _WORDS) -> dict[str, Any]:
    """Return the first request of a conversation; its first line has a new hash."""
    kept = {"cache_control": {"type": "ephemeral"}}
    line = f"x-anthropic-billing-header: cc_version=2.1.37; cch=fa6{number:02};"
    rules = " ".join(f"rule {i} holds." for i in range(words // 3))
    return {
        "model": model,
        "max_tokens": 8,
        "temperature": 0,
        "system": [
            {"type": "text", "text": line},
            {"type": "text", "text": rules, **kept},
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


@pytest.mark.long
def test_the_second_turn_of_a_request_of_11000_tokens_comes_from_the_cache(
    tmp_path: Path,
) -> None:
    (tmp_path / "models").mkdir()
    file = tmp_path / "models" / f"{_LONG}.gguf"
    write_tiny_model("llama", file, n_ctx=32_768, chat_template=_CHATML)
    with (
        running(tmp_path, LLM_MANAGER_MODELS_DEFAULT_CTX="32768") as server,
        client_of(server) as api,
    ):
        first = first_turn(1, _LONG, _LONG_WORDS)
        before = send(api, first)["usage"]
        said = [
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": [{"type": "text", "text": "And now?"}]},
        ]
        second = first_turn(2, _LONG, _LONG_WORDS)
        usage = send(api, {**second, "messages": first["messages"] + said})["usage"]

    cached = usage["cache_read_input_tokens"]
    total = cached + usage["input_tokens"]
    print(json.dumps({"tokens": total, "cached": cached}))  # noqa: T201
    assert before["cache_read_input_tokens"] == 0
    assert total >= 11_000
    assert cached / total >= 0.95
