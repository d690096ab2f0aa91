"""Routes: who answers, who answers instead, and who may ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async

from accounts.models import Scope
from inference.api.forwarding.view import (
    FELL_BACK_HEADER,
    ROUTE_HEADER,
    TARGET_HEADER,
)
from inference.api.preparing.plan import drawn, seed_of
from inference.errors import QueueFull
from registry.models import Alias
from tests.factories import make_api_key, make_model, make_route
from tests.inference.api.conftest import CHATML, Api, read_stream
from tests.scripted_upstream import CHAT, Answer, Asked, chunk

if TYPE_CHECKING:
    from registry.models import Model
    from tests.fakes import FakeEngineClient
    from tests.inference.api.forwarding.conftest import Upstreams

route_made = sync_to_async(make_route)


async def chat(asked: Asked, answer: Answer) -> None:
    await answer.whole(CHAT)


async def fails(asked: Asked, answer: Answer) -> None:
    await answer.whole({"error": {"message": "broken"}}, 500)


def test_models_are_drawn_by_their_weights() -> None:
    counts = [0, 0, 0]
    for number in range(10_000):
        counts[drawn([95, 0, 5], f"request {number}")] += 1
    assert counts[1] == 0
    # Five standard deviations of 10,000 draws of 5 %.
    assert 500 - 109 < counts[2] < 500 + 109


def test_all_turns_of_a_conversation_have_one_seed() -> None:
    first = {"messages": [{"role": "user", "content": "Hi"}]}
    answer = {"role": "assistant", "content": "Hello"}
    later = {"messages": [*first["messages"], answer, {"role": "user", "content": "?"}]}
    other = {"messages": [{"role": "user", "content": "Ho"}]}
    assert seed_of(first, "key", "1") == seed_of(later, "key", "2")
    assert seed_of(first, "key", "1") != seed_of(other, "key", "1")
    assert seed_of(first, "key", "1") != seed_of(first, "another", "1")
    assert seed_of({"prompt": "Hi"}, "key", "1") == "1"


async def test_a_route_answers_with_a_model_here_and_says_which(
    api: Api, model: Model, rows: list[dict[str, Any]]
) -> None:
    await route_made("best", (model, 1))
    response = await api.chat(model="best")
    assert response.json()["model"] == "tiny"
    assert response[ROUTE_HEADER] == "best"
    assert response[TARGET_HEADER] == "tiny"
    assert FELL_BACK_HEADER not in response
    [row] = rows
    assert row["route"] == row["model_asked"] == "best"
    assert row["model_name"] == "tiny"


async def test_an_alias_with_wildcards_leads_to_a_route(api: Api, model: Model) -> None:
    route = await route_made("best", (model, 1))
    await Alias.objects.acreate(name="gpt-*", model_id=route.pk)
    response = await api.chat(model="gpt-4o")
    assert response[ROUTE_HEADER] == "best"


async def test_a_full_queue_here_is_answered_by_the_upstream_and_that_is_said(
    api: Api,
    model: Model,
    engine: FakeEngineClient,
    upstreams: Upstreams,
    rows: list[dict[str, Any]],
) -> None:
    far, server = await upstreams.model(chat)
    await route_made("best", (model, 1), (far, 0), falls_back=True)
    engine.refuse(QueueFull("as many as may"))
    response = await api.chat(model="best")
    assert response.json()["model"] == "far"
    assert response[TARGET_HEADER] == "far"
    assert response[FELL_BACK_HEADER] == "tiny"
    assert len(server.posts) == 1
    [row] = rows
    assert row["fell_back_from"] == "tiny"
    assert (row["model_name"], row["status"]) == ("far", 200)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_upstream_that_fails_is_replaced_by_a_model_here(
    api: Api, model: Model, upstreams: Upstreams, stream: bool
) -> None:
    far, _ = await upstreams.model(fails)
    await route_made("best", (far, 1), (model, 0), falls_back=True)
    response = await api.chat(model="best", stream=stream)
    assert response.status_code == 200
    assert response[TARGET_HEADER] == "tiny"
    assert response[FELL_BACK_HEADER] == "far"
    if stream:
        assert b"Hello" in b"".join(await read_stream(response))


async def test_without_fallbacks_the_failure_is_the_answer(
    api: Api, model: Model, upstreams: Upstreams, engine: FakeEngineClient
) -> None:
    far, _ = await upstreams.model(fails)
    await route_made("best", (far, 1), (model, 0))
    response = await api.chat(model="best")
    assert response.status_code == 502
    assert not engine.requests


async def test_after_the_first_token_nobody_else_answers(
    api: Api, model: Model, upstreams: Upstreams, engine: FakeEngineClient
) -> None:
    async def dies(asked: Asked, answer: Answer) -> None:
        await answer.begin()
        await answer.send(chunk("Hello"))

    far, _ = await upstreams.model(dies)
    await route_made("best", (far, 1), (model, 0), falls_back=True)
    response = await api.chat(model="best", stream=True)
    text = b"".join(await read_stream(response))
    assert b"upstream_failed" in text
    assert not engine.requests


async def test_a_bad_request_is_refused_and_not_sent_elsewhere(
    api: Api, model: Model, upstreams: Upstreams, engine: FakeEngineClient
) -> None:
    async def refuses(asked: Asked, answer: Answer) -> None:
        await answer.whole({"error": {"message": "no"}}, 400)

    far, _ = await upstreams.model(refuses)
    await route_made("best", (far, 1), (model, 0), falls_back=True)
    response = await api.chat(model="best")
    assert response.status_code == 400
    assert not engine.requests


async def test_parameters_are_forced_or_only_defaults(
    api: Api, model: Model, engine: FakeEngineClient
) -> None:
    await route_made(
        "cold",
        (model, 1),
        default_parameters={"top_k": 7, "seed": 1},
        forced_parameters={"temperature": 0},
    )
    await api.chat(model="cold", temperature=1.5, seed=2)
    [request] = engine.requests
    assert request.params.temperature == 0
    assert (request.params.top_k, request.params.seed) == (7, 2)


async def test_a_key_for_a_route_uses_its_models_through_it_only(
    model: Model, engine: FakeEngineClient
) -> None:
    route = await route_made("best", (model, 1))
    make = sync_to_async(make_api_key)
    _, secret = await make(models=[route], scopes=[Scope.INFERENCE], rate_limit=0)
    api = Api(secret)
    assert (await api.chat(model="best")).status_code == 200
    assert (await api.chat(model="tiny")).status_code == 403
    listed = (await api.get("/v1/models")).json()["data"]
    assert [each["id"] for each in listed] == ["best"]
    assert listed[0]["state"] == "ready"
    assert "chat" in listed[0]["capabilities"]


async def test_a_route_whose_models_are_disabled_is_unavailable(api: Api) -> None:
    off = await sync_to_async(make_model)("off", is_enabled=False, chat_template=CHATML)
    await route_made("best", (off, 1))
    response = await api.chat(model="best")
    assert response.status_code == 503
    assert "best" in response.json()["error"]["message"]


async def test_routes_and_upstreams_models_are_not_loaded_here(
    admin_api: Api, model: Model
) -> None:
    await route_made("best", (model, 1))
    response = await admin_api.post("/v1/models/best/load", {})
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "model_without_file"
