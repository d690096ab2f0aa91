"""Embeddings, rerankings and tokens from real models, over real processes."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.e2e.conftest import EMBEDDER, Q4_0, RERANKER

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from tests.whole_server import Server

pytestmark = [pytest.mark.e2e, pytest.mark.model]


@pytest.fixture(scope="module")
def reference(embedding_model_path: Path) -> dict[str, Any]:
    """Sentences, and their vectors from the original model."""
    path = embedding_model_path.with_name("all-MiniLM-L6-v2.reference.json")
    return dict(json.loads(path.read_text()))


def cosine(one: list[float], other: list[float]) -> float:
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    return dot / (math.hypot(*one) * math.hypot(*other))


def test_the_openai_package_gets_the_original_models_vectors(
    server: Server, reference: dict[str, Any]
) -> None:
    with openai.OpenAI(
        base_url=f"http://{server.host}:{server.port}/v1",
        api_key=server.key,
        http_client=openai.DefaultHttpxClient(trust_env=False),
    ) as client:
        # It asks for base64 by itself.
        answer = client.embeddings.create(model=EMBEDDER, input=reference["sentences"])
        short = client.embeddings.create(
            model=EMBEDDER, input=reference["sentences"][0], dimensions=64
        )
    for item, expected in zip(answer.data, reference["embeddings"], strict=True):
        assert cosine(item.embedding, expected) > 0.99
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 30
    (item,) = short.data
    assert cosine(item.embedding, reference["embeddings"][0][:64]) > 0.99
    assert math.hypot(*item.embedding) == pytest.approx(1)


def test_hundreds_of_texts_get_the_vectors_that_they_get_alone(
    api: httpx.Client, reference: dict[str, Any]
) -> None:
    sentences = reference["sentences"]
    texts = [sentences[number % len(sentences)] for number in range(200)]
    answer = api.post("/v1/embeddings", json={"model": EMBEDDER, "input": texts})
    data = answer.json()["data"]
    assert [item["index"] for item in data] == list(range(len(texts)))
    for number, item in enumerate(data):
        expected = reference["embeddings"][number % len(sentences)]
        assert cosine(item["embedding"], expected) > 0.99


def test_a_text_over_the_context_is_an_error_with_both_numbers(
    api: httpx.Client, reference: dict[str, Any]
) -> None:
    body = {"model": EMBEDDER, "input": ["short", "word " * 600]}
    error = api.post("/v1/embeddings", json=body).json()["error"]
    assert (error["code"], error["param"]) == ("context_length_exceeded", "input[1]")
    assert "512" in error["message"]
    assert "602" in error["message"]


def test_a_model_of_another_kind_is_refused_with_where_to_go(
    api: httpx.Client, reference: dict[str, Any]
) -> None:
    message = {"role": "user", "content": "Hi"}
    chat = {"model": EMBEDDER, "messages": [message]}
    error = api.post("/v1/chat/completions", json=chat).json()["error"]
    assert "/v1/embeddings" in error["message"]
    error = api.post("/v1/embeddings", json={"model": Q4_0, "input": "Hi"}).json()
    assert "/v1/chat/completions" in error["error"]["message"]


def test_documents_are_ranked_by_a_reranker(api: httpx.Client) -> None:
    body = {
        "model": RERANKER,
        "query": "what do cats eat",
        "documents": ["rates rose", "cats eat fish", "dogs eat cats"],
    }
    answer = api.post("/v1/rerank", json=body).json()
    scores = [result["relevance_score"] for result in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    assert {result["index"] for result in answer["results"]} == {0, 1, 2}
    body["documents"] = ["dogs eat cats"]
    (alone,) = api.post("/v1/rerank", json=body).json()["results"]
    (together,) = [each for each in answer["results"] if each["index"] == 2]
    assert alone["relevance_score"] == pytest.approx(together["relevance_score"])


def test_text_becomes_tokens_and_the_same_text_again(api: httpx.Client) -> None:
    text = "<|im_start|>user\nGrüße, 世界! 🎉<|im_end|>\n"
    body = {"model": Q4_0, "content": text, "with_pieces": True}
    answer = api.post("/tokenize", json=body).json()
    tokens = [token["id"] for token in answer["tokens"]]
    assert answer["count"] == len(tokens)
    assert answer["tokens"][0]["piece"] == "<|im_start|>"
    again = api.post("/detokenize", json={"model": Q4_0, "tokens": tokens}).json()
    assert again["content"] == text
    messages = [{"role": "user", "content": "Hi"}]
    body = {"model": Q4_0, "messages": messages}
    prompt = api.post("/apply-template", json=body).json()["prompt"]
    counted = api.post("/tokenize", json=body).json()["count"]
    chat = {**body, "max_tokens": 1}
    usage = api.post("/v1/chat/completions", json=chat).json()["usage"]
    assert counted == usage["prompt_tokens"]
    assert prompt.endswith("<|im_start|>assistant\n")
