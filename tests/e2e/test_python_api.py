"""The Python API and the server give the same answer to the same request."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from llm_manager import LLMManager
from tests.checkout import EMBEDDING_MODEL
from tests.e2e.conftest import EMBEDDER, Q4_0, RERANKER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

pytestmark = pytest.mark.e2e

QUESTION = [{"role": "user", "content": "Name three colours."}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 12}},
            "required": ["city"],
        },
    },
}
SCHEMA = {
    "type": "object",
    "properties": {"colours": {"type": "array", "items": {"enum": ["red", "blue"]}}},
    "required": ["colours"],
}
REQUESTS: dict[str, dict[str, Any]] = {
    "sampled": {"temperature": 0.9, "top_p": 0.8, "n": 2, "stop": ["\n\n"]},
    "logprobs": {"temperature": 0, "logprobs": True, "top_logprobs": 3},
    "tools": {"tools": [WEATHER], "tool_choice": "required"},
    "schema": {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "c", "schema": SCHEMA, "strict": True},
        }
    },
}


@pytest.fixture(scope="module")
def manager(data_dir: Path) -> Iterator[LLMManager]:
    """A manager with the server's models and its configuration."""
    config = {"engine": {"n_seq_max": 8}, "models": {"default_ctx": 2048}}
    with LLMManager(data_dir / "models", config) as manager:
        manager.load_model(Q4_0)
        yield manager


def same(answer: Any) -> Any:
    """Return an answer without what differs from one to the next: ids and time."""
    text = json.dumps({**answer, "created": 0})
    return json.loads(re.sub(r'"id": "(chatcmpl|call)[^"]*"', '"id": ""', text))


@pytest.mark.parametrize("name", REQUESTS)
def test_answers_are_the_servers(
    api: httpx.Client, manager: LLMManager, name: str
) -> None:
    request = {"messages": QUESTION, "max_tokens": 24, "seed": 11, **REQUESTS[name]}
    reply = api.post("/v1/chat/completions", json={"model": Q4_0, **request})
    expected, answer = same(reply.json()), same(manager.generate(**request))
    # What a prompt finds cached, and how many drafts were worth it, depends on what ran
    # before.
    for each in (expected, answer):
        del each["usage"]["prompt_tokens_details"]
        each["usage"].pop("completion_tokens_details", None)
    assert answer == expected


def test_streams_are_the_servers(api: httpx.Client, manager: LLMManager) -> None:
    request: dict[str, Any] = {"messages": QUESTION, "max_tokens": 24, "seed": 12}
    body = {"model": Q4_0, "stream": True, **request}
    with api.stream("POST", "/v1/chat/completions", json=body) as reply:
        lines = [line for line in reply.iter_lines() if line.startswith("data: {")]

    def text(chunks: list[Any]) -> str:
        deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
        return "".join(delta.get("content") or "" for delta in deltas)

    sent = [json.loads(line.removeprefix("data: ")) for line in lines]
    chunks: list[Any] = list(manager.generate(stream=True, **request))
    assert text(chunks) == text(sent) != ""
    assert same(chunks[0]) == same(sent[0])
    assert same(chunks[-1]) == same(sent[-1])


def test_vectors_and_scores_are_the_servers(
    api: httpx.Client, manager: LLMManager
) -> None:
    ranked = {"query": "red", "documents": ["a red car", "the sea"], "top_n": 1}
    reply = api.post("/v1/rerank", json={"model": RERANKER, **ranked}).json()
    answer = manager.rerank("red", ["a red car", "the sea"], model=RERANKER, top_n=1)
    assert answer["results"] == reply["results"]
    assert answer["usage"] == reply["usage"]

    if not EMBEDDING_MODEL.exists():
        pytest.skip("no embedding model")
    reply = api.post("/v1/embeddings", json={"model": EMBEDDER, "input": "hi"}).json()
    assert manager.embed("hi", model=EMBEDDER) == reply
