"""POST /v1/embeddings."""

from __future__ import annotations

import asyncio
import base64
import math
import struct
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async

from accounts.models import ApiKey, Scope
from inference.api.completions.prompts import MAX_INPUTS
from inference.api.embeddings.response import shortened
from inference.api.worker_view import WorkerView
from inference.errors import QueueFull, RequestRejected
from registry.models import Kind
from tests.factories import make_api_key, make_model
from tests.fakes import begun
from tests.inference.api.conftest import Api
from tests.inference.api.embedders import (
    EMBEDDER,
    WIDTH,
    FakeEmbedderClient,
    make_embedder,
    packed,
    vector,
)
from tests.llm_manager.web.test_docs import check, fits

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import Model


@pytest.fixture
def embedder(monkeypatch: pytest.MonkeyPatch) -> FakeEmbedderClient:
    fake = FakeEmbedderClient()
    monkeypatch.setattr(WorkerView, "get_client", lambda view: fake)
    return fake


@pytest.fixture
async def minilm(transactional_db: None) -> Model:
    return await make_embedder()


@pytest.fixture
async def api(
    minilm: Model, key: tuple[ApiKey, str], embedder: FakeEmbedderClient
) -> Api:
    return Api(key[1])


async def embed(api: Api, **body: Any) -> Any:
    return await api.post("/v1/embeddings", {"model": EMBEDDER, "input": "x", **body})


def refusal(response: Any) -> tuple[int, str, str | None]:
    error = response.json()["error"]
    return response.status_code, error["code"], error["param"]


async def test_a_text_becomes_a_vector_and_is_counted(api: Api) -> None:
    answer = (await embed(api, input="hello")).json()
    (item,) = answer["data"]
    assert item["embedding"] == pytest.approx(vector("hello"), rel=1e-6)
    assert (item["object"], item["index"]) == ("embedding", 0)
    assert (answer["object"], answer["model"]) == ("list", EMBEDDER)
    assert answer["usage"] == {"prompt_tokens": 5, "total_tokens": 5}
    check("EmbeddingList", answer)


@pytest.mark.parametrize(
    "inputs", [["one", "two", "three"], [5, 6, 7], [[5, 6], [7]]], ids=str
)
async def test_every_form_of_input_is_taken_in_order(
    api: Api, embedder: FakeEmbedderClient, inputs: list[Any]
) -> None:
    answer = (await embed(api, input=inputs)).json()
    each = [inputs] if isinstance(inputs[0], int) else inputs
    assert [item["index"] for item in answer["data"]] == list(range(len(each)))
    for item, text in zip(answer["data"], each, strict=True):
        assert item["embedding"] == pytest.approx(vector(text), rel=1e-6)
    assert fits("EmbeddingRequest", {"model": EMBEDDER, "input": inputs})


async def test_numbers_are_as_exact_as_the_models(api: Api) -> None:
    answer = (await embed(api, input="pi")).json()
    exact = packed(*vector("pi"))
    assert packed(*answer["data"][0]["embedding"]) == exact


async def test_base64_is_float32_in_little_endian(api: Api) -> None:
    answer = (await embed(api, input=["a", "b"], encoding_format="base64")).json()
    check("EmbeddingList", answer)
    for item, text in zip(answer["data"], ("a", "b"), strict=True):
        data = base64.b64decode(item["embedding"], validate=True)
        assert data == packed(*vector(text))


@pytest.mark.parametrize("encoding", ["float", "base64"])
async def test_fewer_dimensions_are_the_first_ones_of_length_one(
    api: Api, encoding: str
) -> None:
    body = {"input": "hello", "dimensions": 2, "encoding_format": encoding}
    numbers = (await embed(api, **body)).json()["data"][0]["embedding"]
    if encoding == "base64":
        numbers = struct.unpack("<2f", base64.b64decode(numbers))
    first, second, *_ = vector("hello")
    assert math.hypot(*numbers) == pytest.approx(1)
    assert numbers[1] / numbers[0] == pytest.approx(second / first, rel=1e-6)


async def test_more_dimensions_than_the_model_has_are_refused_before_it_runs(
    api: Api, embedder: FakeEmbedderClient
) -> None:
    response = await embed(api, dimensions=WIDTH + 1)
    assert refusal(response) == (400, "invalid_value", "dimensions")
    assert "5" in response.json()["error"]["message"]
    assert "4 numbers" in response.json()["error"]["message"]
    assert not embedder.requests


async def test_the_models_own_width_counts_where_its_row_does_not_know(
    api: Api,
) -> None:
    await make_embedder("unknown", embedding_length=None)
    response = await embed(api, model="unknown", dimensions=WIDTH + 1)
    assert refusal(response) == (400, "invalid_value", "dimensions")
    assert (await embed(api, model="unknown", dimensions=WIDTH)).status_code == 200


def test_a_null_vector_stays_one() -> None:
    assert shortened(packed(0, 0, 3), 2) == packed(0, 0)


async def test_two_thousand_inputs_go_out_in_parts_and_come_back_in_order(
    api: Api, embedder: FakeEmbedderClient
) -> None:
    texts = [chr(ord("a") + number % 26) * (1 + number % 40) for number in range(2048)]
    answer = (await embed(api, input=texts)).json()
    assert len(answer["data"]) == len(texts)
    for item, text in zip(answer["data"], texts, strict=True):
        assert item["embedding"] == pytest.approx(vector(text), rel=1e-6)
    assert max(len(request.inputs) for request in embedder.requests) == 32
    assert [text for request in embedder.requests for text in request.inputs] == texts
    assert embedder.requests[1].paths[0] == "input[32]"
    assert all(stream.is_closed for stream in embedder.streams)


async def test_long_inputs_go_out_in_smaller_parts(
    api: Api, embedder: FakeEmbedderClient
) -> None:
    await embed(api, input=["x" * 40_000, "y" * 40_000, "z"])
    assert [len(request.inputs) for request in embedder.requests] == [1, 2]


async def test_others_are_served_while_a_large_answer_is_written(
    api: Api, embedder: FakeEmbedderClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop gets a turn after every few thousand numbers."""
    turns = 0
    is_over = False

    async def count_turns() -> None:
        nonlocal turns
        while not is_over:
            await asyncio.sleep(0)
            turns += 1

    def write(vector: bytes) -> bytes:
        written_at.append(turns)
        return b"[]"

    written_at: list[int] = []
    monkeypatch.setattr("inference.api.embeddings.response._numbers", write)
    monkeypatch.setattr(
        "tests.inference.api.embedders.vector", lambda text: [0.5] * 4096
    )
    await make_embedder("wide", embedding_length=4096)
    counting = asyncio.create_task(count_turns())
    response = await embed(api, model="wide", input=["x"] * 20)
    is_over = True
    await counting
    assert response.status_code == 200
    assert len(set(written_at)) == 10


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"input": ""}, "invalid_value", "input"),
        ({"input": ["a", ""]}, "invalid_value", "input[1]"),
        ({"input": []}, "invalid_value", "input"),
        ({"input": [[1], []]}, "invalid_value", "input[1]"),
        ({"input": 7}, "invalid_type", "input"),
        ({"input": [True]}, "invalid_type", "input[0]"),
        ({"input": ["a", 1]}, "invalid_type", "input[1]"),
        ({"input": [-1]}, "invalid_value", "input[0]"),
        ({"input": None}, "missing_required_parameter", "input"),
        ({"input": ["a"] * (MAX_INPUTS + 1)}, "too_many_inputs", "input"),
        ({"input": ["a" * 200_000]}, "message_too_long", "input[0]"),
        ({"encoding_format": "int8"}, "invalid_value", "encoding_format"),
        ({"dimensions": 0}, "invalid_value", "dimensions"),
        ({"truncate": True}, "unknown_parameter", "truncate"),
        ({"model": "no-such-model"}, "model_not_found", None),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_invalid_values_are_refused_by_name(
    api: Api,
    embedder: FakeEmbedderClient,
    body: dict[str, Any],
    code: str,
    param: str | None,
) -> None:
    response = await embed(api, **body)
    assert refusal(response)[1:] == (code, param)
    assert response.status_code == (404 if code == "model_not_found" else 400)
    assert not embedder.requests


async def test_an_input_that_is_too_long_is_an_error_and_never_cut(
    api: Api, embedder: FakeEmbedderClient
) -> None:
    error = RequestRejected(
        "This model's maximum context length is 512 tokens, but 'input[1]' has 700 "
        "tokens.",
        code="context_length_exceeded",
        param="input[1]",
    )
    embedder.enqueue(begun(), error)
    response = await embed(api, input=["a", "b"])
    assert refusal(response) == (400, "context_length_exceeded", "input[1]")
    assert embedder.streams[0].is_closed


async def test_when_one_part_fails_the_others_are_given_up(
    api: Api, embedder: FakeEmbedderClient
) -> None:
    embedder.enqueue(begun())
    embedder.enqueue(begun(), QueueFull("Full.", retry_after=5))
    response = await embed(api, input=["a"] * 64)
    assert refusal(response) == (503, "queue_full", None)
    assert response["retry-after"] == "5"
    assert [stream.is_closed for stream in embedder.streams] == [True, True]


async def test_a_client_that_goes_away_gives_its_inputs_up(
    api: Api, embedder: FakeEmbedderClient
) -> None:
    embedder.enqueue(begun())
    request = asyncio.create_task(embed(api))
    async with asyncio.timeout(10):
        while not embedder.streams or embedder.streams[0].script:
            await asyncio.sleep(0)
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    assert embedder.streams[0].is_closed


async def test_an_answer_that_takes_too_long_is_408(
    api: Api, embedder: FakeEmbedderClient, configure: Callable[..., None]
) -> None:
    configure(server__request_timeout=1)
    embedder.enqueue(begun())
    response = await embed(api)
    assert refusal(response) == (408, "request_timeout", None)
    assert embedder.streams[0].is_closed


async def test_a_key_waits_in_its_own_line_with_its_own_weight(
    minilm: Model, embedder: FakeEmbedderClient
) -> None:
    key, secret = await sync_to_async(make_api_key)(
        scopes=[Scope.INFERENCE], rate_limit=0, weight=2.5
    )
    await embed(Api(secret), input="a", priority=-3)
    (request,) = embedder.requests
    assert (request.key, request.weight, request.priority) == (key.prefix, 2.5, -3)


async def test_a_model_that_makes_no_embeddings_is_refused_with_a_hint(
    api: Api,
) -> None:
    kinds = {Kind.CHAT: "/v1/chat/completions", Kind.RERANKER: "/v1/rerank"}
    for kind, route in kinds.items():
        await sync_to_async(make_model)(f"a-{kind}", kind=kind)
        response = await embed(api, model=f"a-{kind}")
        assert refusal(response) == (400, "model_not_embedding", "model")
        assert route in response.json()["error"]["message"]


async def test_an_embedding_model_is_no_model_for_chats(api: Api) -> None:
    for response in (
        await api.chat(model=EMBEDDER),
        await api.complete(model=EMBEDDER),
    ):
        assert refusal(response) == (400, "model_not_generative", "model")
        assert "/v1/embeddings" in response.json()["error"]["message"]
