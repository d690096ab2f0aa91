"""POST /v1/rerank."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from inference.api.rerank.request import MAX_DOCUMENTS
from inference.api.worker_view import WorkerView
from tests.inference.api.conftest import Api
from tests.inference.api.embedders import (
    EMBEDDER,
    RANKER,
    FakeEmbedderClient,
    make_embedder,
    make_ranker,
)
from tests.llm_manager.web.test_docs import check, fits

if TYPE_CHECKING:
    from accounts.models import ApiKey
    from registry.models import Model

QUERY = "what do cats eat"
DOCUMENTS = ["interest rates rose", "cats eat fish", "cats sleep"]


@pytest.fixture
def ranker_client(monkeypatch: pytest.MonkeyPatch) -> FakeEmbedderClient:
    fake = FakeEmbedderClient()
    monkeypatch.setattr(WorkerView, "get_client", lambda view: fake)
    return fake


@pytest.fixture
async def ranker(transactional_db: None) -> Model:
    return await make_ranker()


@pytest.fixture
async def api(
    ranker: Model, key: tuple[ApiKey, str], ranker_client: FakeEmbedderClient
) -> Api:
    return Api(key[1])


def body(**changes: Any) -> dict[str, Any]:
    return {"model": RANKER, "query": QUERY, "documents": DOCUMENTS, **changes}


async def rerank(api: Api, **changes: Any) -> Any:
    return await api.post("/v1/rerank", body(**changes))


async def test_documents_come_best_first_with_their_index(api: Api) -> None:
    answer = (await rerank(api)).json()
    assert answer["results"] == [
        {"index": 1, "relevance_score": 2.0},
        {"index": 2, "relevance_score": 1.0},
        {"index": 0, "relevance_score": 0.0},
    ]
    tokens = sum(map(len, DOCUMENTS))
    assert answer["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    assert answer["model"] == RANKER
    check("Ranking", answer)


async def test_of_equal_documents_the_earlier_comes_first(api: Api) -> None:
    answer = (await rerank(api, documents=["fish", "cats", "dogs", "cats"])).json()
    assert [result["index"] for result in answer["results"]] == [1, 3, 0, 2]


async def test_the_best_few_with_their_texts_if_that_is_asked_for(api: Api) -> None:
    answer = (await rerank(api, top_n=1, return_documents=True)).json()
    assert answer["results"] == [
        {"index": 1, "relevance_score": 2.0, "document": {"text": "cats eat fish"}}
    ]
    check("Ranking", answer)


async def test_documents_may_be_objects_with_a_text(api: Api) -> None:
    documents = [{"text": "rates rose"}, "cats eat fish"]
    answer = (await rerank(api, documents=documents, return_documents=True)).json()
    assert [result["document"]["text"] for result in answer["results"]] == [
        "cats eat fish",
        "rates rose",
    ]
    assert fits("RerankRequest", body(documents=documents))


async def test_many_documents_go_out_in_parts_each_with_the_query(
    api: Api, ranker_client: FakeEmbedderClient
) -> None:
    documents = ["dogs"] * 70 + ["cats eat"]
    answer = (await rerank(api, documents=documents, top_n=1)).json()
    assert answer["results"] == [{"index": 70, "relevance_score": 2.0}]
    assert [request.query for request in ranker_client.requests] == [QUERY] * 3
    assert ranker_client.requests[2].paths[0] == "documents[64]"


@pytest.mark.parametrize(
    "path", ["/rerank", "/reranking", "/v1/reranking", "/v2/rerank"]
)
async def test_other_servers_clients_find_it_where_they_look(
    api: Api, path: str
) -> None:
    response = await api.post(path, body())
    assert response.status_code == 200
    assert response.json()["results"][0]["index"] == 1


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"query": ""}, "invalid_value", "query"),
        ({"query": None}, "missing_required_parameter", "query"),
        ({"documents": []}, "invalid_value", "documents"),
        ({"documents": "one"}, "invalid_type", "documents"),
        ({"documents": ["a", 1]}, "invalid_type", "documents[1]"),
        ({"documents": [{"title": "a"}]}, "unknown_parameter", "documents[0].title"),
        ({"documents": [{}]}, "missing_required_parameter", "documents[0].text"),
        ({"documents": ["a"] * (MAX_DOCUMENTS + 1)}, "invalid_value", "documents"),
        ({"documents": ["a" * 200_000]}, "message_too_long", "documents[0]"),
        ({"query": "a" * 200_000}, "message_too_long", "query"),
        ({"top_n": 0}, "invalid_value", "top_n"),
        ({"max_tokens_per_doc": 9}, "unknown_parameter", "max_tokens_per_doc"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_invalid_values_are_refused_by_name(
    api: Api,
    ranker_client: FakeEmbedderClient,
    changes: dict[str, Any],
    code: str,
    param: str,
) -> None:
    response = await rerank(api, **changes)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, code, param)
    assert not ranker_client.requests


async def test_an_embedding_model_ranks_nothing(api: Api) -> None:
    await make_embedder()
    response = await rerank(api, model=EMBEDDER)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "model_not_reranker")
    assert "/v1/embeddings" in error["message"]


async def test_a_reranker_makes_no_embeddings(api: Api) -> None:
    response = await api.post("/v1/embeddings", {"model": RANKER, "input": "x"})
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "model_not_embedding")
    assert "/v1/rerank" in error["message"]
