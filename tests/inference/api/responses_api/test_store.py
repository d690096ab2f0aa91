"""Stored responses and conversations."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Scope, StoredConversation, StoredItem, StoredResponse
from accounts.stored_pruning import stored_prune
from inference.api.errors import BadRequest
from inference.api.responses_api.body.request import ResponseRequest
from inference.api.responses_api.store import rows
from inference.api.responses_api.view import ResponsesView
from llm_manager.lib.threads import in_thread
from tests.factories import make_api_key, make_user
from tests.fakes import begun, finished, tokens
from tests.inference.api.conftest import Api
from tests.inference.api.responses_api.helpers import (
    create,
    refused,
    request_body,
    stream,
)
from tests.openai_schema import check

if TYPE_CHECKING:
    from collections.abc import Callable

    from accounts.models import ApiKey
    from tests.fakes import FakeEngineClient


@pytest.fixture(autouse=True)
def _store(configure: Callable[..., None]) -> None:
    configure(api__store=True)


async def other_owner() -> Api:
    """Return the API as somebody else's key calls it."""
    make = sync_to_async(make_api_key)
    user = await sync_to_async(make_user)("mallory")
    _, secret = await make(owner=user, scopes=[Scope.INFERENCE], rate_limit=0)
    return Api(secret)


async def test_a_response_is_kept_for_its_owner_alone(api: Api) -> None:
    response = await create(api)
    path = f"/v1/responses/{response['id']}"

    found = await api.get(path)
    mallory = await other_owner()

    assert response["store"] is True
    assert found.json() == response
    assert (await mallory.get(path)).status_code == 404
    assert (await mallory.send("DELETE", path)).status_code == 404
    error = (
        await mallory.post(
            "/v1/responses",
            {"model": "tiny", "input": "Hi", "previous_response_id": response["id"]},
        )
    ).json()["error"]
    assert error["param"] == "previous_response_id"


async def test_a_response_that_is_not_to_be_stored_is_not(api: Api) -> None:
    response = await create(api, store=False)

    assert response["store"] is False
    assert (await api.get(f"/v1/responses/{response['id']}")).status_code == 404
    assert await StoredItem.objects.acount() == 0


async def test_a_streamed_response_is_kept_before_its_end_arrives(api: Api) -> None:
    events = await stream(api)
    last = events[-1]["response"]

    assert (await api.get(f"/v1/responses/{last['id']}")).json() == last


async def test_a_response_goes_on_from_those_before_it(
    api: Api, engine: FakeEngineClient
) -> None:
    first = await create(api, instructions="Be brief.")
    second = await create(api, input="More?", previous_response_id=first["id"])
    third = await create(
        api,
        previous_response_id=second["id"],
        input=[{"role": "user", "content": "Why?"}],
    )

    assert second["previous_response_id"] == first["id"]
    turns = engine.requests[2].prompt
    # Instructions are not carried over.
    assert "Be brief." not in turns
    assert turns.count("Hello world") == 2
    assert turns.index("Hi") < turns.index("More?") < turns.index("Why?")
    assert third["status"] == "completed"


async def test_a_deleted_response_is_gone(api: Api) -> None:
    response = await create(api)
    path = f"/v1/responses/{response['id']}"

    deleted = await api.send("DELETE", path)

    assert deleted.json() == {
        "id": response["id"],
        "object": "response",
        "deleted": True,
    }
    assert (await api.get(path)).status_code == 404
    error = await refused_404(api, previous_response_id=response["id"])
    assert error["param"] == "previous_response_id"


async def refused_404(api: Api, **members: Any) -> Any:
    answer = await api.post("/v1/responses", {"model": "tiny", "input": "x", **members})
    assert answer.status_code == 404, answer.content
    return answer.json()["error"]


async def test_input_items_are_listed_a_page_at_a_time(api: Api) -> None:
    texts = ["One", "Two", "Three"]
    items = [{"role": "user", "content": text} for text in texts]
    response = await create(api, input=items)
    path = f"/v1/responses/{response['id']}/input_items"

    newest = (await api.get(f"{path}?limit=2")).json()
    rest = (await api.get(f"{path}?limit=2&after={newest['last_id']}")).json()
    oldest = (await api.get(f"{path}?order=asc&limit=1")).json()

    check("ResponseItemList", newest)
    assert [said(item) for item in newest["data"]] == ["Three", "Two"]
    assert newest["has_more"] is True
    assert [said(item) for item in rest["data"]] == ["One"]
    assert rest["has_more"] is False
    assert [said(item) for item in oldest["data"]] == ["One"]
    wrong = await api.get(f"{path}?limit=1000")
    assert wrong.json()["error"]["param"] == "limit"


def said(item: Any) -> str:
    return str(item["content"][0]["text"])


async def test_an_item_is_referred_to_by_its_id(
    api: Api, engine: FakeEngineClient
) -> None:
    response = await create(api)
    item = {"type": "item_reference", "id": response["output"][0]["id"]}

    await create(api, input=[item, {"role": "user", "content": "Why?"}])

    assert "assistant\nHello world" in engine.requests[1].prompt
    mallory = await other_owner()
    error = await refused(mallory, input=[item])
    assert error["code"] == "item_not_found"


async def test_a_conversation_grows_with_its_responses(
    api: Api, engine: FakeEngineClient
) -> None:
    made = await api.post(
        "/v1/conversations",
        {"items": [{"role": "user", "content": "I am Ada."}], "metadata": {"a": "b"}},
    )
    conversation = made.json()
    check("ConversationResource", conversation)
    path = f"/v1/conversations/{conversation['id']}"

    first = await create(api, conversation=conversation["id"])
    await create(api, input="Who am I?", conversation={"id": conversation["id"]})

    assert first["conversation"] == {"id": conversation["id"]}
    turns = engine.requests[1].prompt
    assert turns.index("I am Ada.") < turns.index("Hi") < turns.index("Who am I?")
    listed = (await api.get(f"{path}/items?order=asc")).json()
    check("ConversationItemList", listed)
    assert [said(item) for item in listed["data"]] == [
        *("I am Ada.", "Hi", "Hello world", "Who am I?", "Hello world")
    ]
    item = listed["data"][0]
    assert (await api.get(f"{path}/items/{item['id']}")).json() == item
    await api.send("DELETE", f"{path}/items/{item['id']}")
    assert (await api.get(f"{path}/items/{item['id']}")).status_code == 404

    changed = await api.post(path, {"metadata": {"c": "d"}})
    assert changed.json()["metadata"] == {"c": "d"}
    assert (await (await other_owner()).get(path)).status_code == 404
    deleted = await api.send("DELETE", path)
    check("DeletedConversationResource", deleted.json())
    assert (await api.get(path)).status_code == 404
    # The response stays.
    assert (await api.get(f"/v1/responses/{first['id']}")).status_code == 200


async def test_what_has_expired_is_gone_and_then_deleted(api: Api) -> None:
    response = await create(api)
    past = timezone.now() - timedelta(seconds=1)
    await StoredResponse.objects.aupdate(expires_at=past)

    assert (await api.get(f"/v1/responses/{response['id']}")).status_code == 404
    assert await sync_to_async(stored_prune)() > 0
    assert await StoredResponse.objects.acount() == 0
    assert await StoredItem.objects.acount() == 0


async def test_calls_are_answered_by_the_next_request(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.enqueue(begun(), [tokens("Yes"), finished()])
    first = await create(api)

    error = await refused(
        api,
        previous_response_id=first["id"],
        input=[{"type": "function_call_output", "call_id": "call_1", "output": "x"}],
    )

    assert error["param"] == "input[0].call_id"


async def test_without_a_store_its_routes_say_so(
    api: Api, configure: Callable[..., None]
) -> None:
    configure(api__store=False)

    for method, path in (
        ("GET", "/v1/responses/resp_1"),
        ("DELETE", "/v1/responses/resp_1"),
        ("POST", "/v1/responses/resp_1/cancel"),
        ("GET", "/v1/responses/resp_1/input_items"),
        ("POST", "/v1/conversations"),
    ):
        answer = await api.send(method, path, {} if method == "POST" else None)
        assert answer.status_code == 404
        assert "api.store" in answer.json()["error"]["message"]


async def test_what_no_database_takes_is_replaced(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.enqueue([*begun(), tokens("a\x00b")], [finished(completion=1)])
    item = {"type": "message", "role": "user", "id": "msg\x00", "content": "c\x00"}

    response = await create(api, input=[item], metadata={"d\x00": "e\x00"})
    made = await api.post(
        "/v1/conversations", {"items": [item], "metadata": {"d\x00": "e\x00"}}
    )

    assert made.json()["metadata"] == {"d\ufffd": "e\ufffd"}
    stored = [
        *[(row.item_id, row.item) async for row in StoredItem.objects.all()],
        (await StoredResponse.objects.aget(pk=response["id"])).response,
    ]
    assert len(stored) == 4
    assert "\\u0000" not in json.dumps(stored)
    referred = await create(api, input=[{"type": "item_reference", "id": "msg\x00"}])
    assert said(referred["output"][0])


async def test_a_long_conversation_is_refused_before_it_is_read(
    api: Api, key: tuple[ApiKey, str], configure: Callable[..., None]
) -> None:
    configure(api__store=True, limits__max_messages=2)
    item = {"type": "message", "role": "user", "content": "Hi"}
    id_ = (await api.post("/v1/conversations", {})).json()["id"]
    for _ in range(3):
        await api.post(f"/v1/conversations/{id_}/items", {"items": [item]})

    def queries_of_a_request() -> list[str]:
        body = ResponseRequest.parse({**request_body(), "conversation": id_})
        with (
            CaptureQueriesContext(connection) as queries,
            pytest.raises(BadRequest, match="at most 2") as refusal,
        ):
            rows.context_of(body, key[0].owner_id)
        assert refusal.value.code == "too_many_items"
        return [query["sql"] for query in queries]

    asked = await in_thread(queries_of_a_request)
    assert [sql for sql in asked if '"item"' in sql] == []


MIB = 1024 * 1024


@pytest.mark.parametrize("by", ["conversation", "previous_response_id"])
async def test_what_came_before_has_no_more_bytes_than_a_body(
    api: Api, engine: FakeEngineClient, configure: Callable[..., None], by: str
) -> None:
    configure(api__store=True, limits__max_body_mb=1)
    id_ = (await api.post("/v1/conversations", {})).json()["id"]
    first = await create(api, conversation=id_)
    before = {"conversation": id_, "previous_response_id": first["id"]}
    await StoredItem.objects.aupdate(size=MIB // 2)
    assert (await create(api, **{by: before[by]}))["status"] == "completed"
    await StoredItem.objects.aupdate(size=MIB)

    error = await refused(api, **{by: before[by]})

    assert error["code"] == "request_too_large"
    assert "limits.max_body_mb" in error["message"]
    assert len(engine.requests) == 2


async def test_an_owner_stores_no_more_than_the_quota(
    api: Api, engine: FakeEngineClient, configure: Callable[..., None]
) -> None:
    configure(api__store=True, api__store_quota_mb=1)
    item = {"role": "user", "content": "Hi"}
    kept = await create(api)
    id_ = (await api.post("/v1/conversations", {"items": [item]})).json()["id"]
    await StoredResponse.objects.aupdate(size=MIB)

    error = await refused(api)
    for path in ("/v1/conversations", f"/v1/conversations/{id_}/items"):
        answer = await api.post(path, {"items": [item]})
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "items"

    assert (error["code"], error["param"]) == ("store_quota_exceeded", "store")
    assert "api.store_quota_mb" in error["message"]
    assert len(engine.requests) == 1
    # What is not stored, others, and who deletes something have room.
    assert (await create(api, store=False))["status"] == "completed"
    assert (await create(await other_owner()))["status"] == "completed"
    await api.send("DELETE", f"/v1/responses/{kept['id']}")
    assert (await create(api))["status"] == "completed"


async def test_what_is_stored_knows_its_size(api: Api) -> None:
    response = await create(api, input="Hi " * 1000)
    row = await StoredResponse.objects.aget(pk=response["id"])
    assert row.size >= len(json.dumps(row.response, ensure_ascii=False))
    sizes = [each.size async for each in StoredItem.objects.all()]
    assert 3000 < sizes[0] < 3500
    assert 0 < sizes[1] < 1000


async def test_a_conversation_that_is_deleted_meanwhile_does_not_end_the_response(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = (await api.post("/v1/conversations", {})).json()["id"]
    store = ResponsesView._store

    def store_later(view: Any, *args: Any) -> None:
        StoredConversation.objects.get(pk=id_).delete()
        store(view, *args)

    monkeypatch.setattr(ResponsesView, "_store", store_later)
    response = await create(api, conversation=id_)

    assert response["status"] == "completed"
    row = await StoredResponse.objects.aget(pk=response["id"])
    assert row.conversation_id is None
    assert await row.items.acount() == 2


async def test_items_cannot_be_added_to_a_conversation_that_is_gone(
    key: tuple[ApiKey, str],
) -> None:
    def extend() -> None:
        row = rows.conversation_add(key[0].owner_id, {}, [])
        StoredConversation.objects.all().delete()
        with pytest.raises(rows.StoredNotFound):
            rows.conversation_extend(row, [])

    await in_thread(extend)


async def test_items_that_have_expired_cannot_be_named(api: Api) -> None:
    response = await create(api)
    item = {"type": "item_reference", "id": response["output"][0]["id"]}
    await StoredResponse.objects.aupdate(expires_at=timezone.now())

    error = await refused(api, input=[item])

    assert error["code"] == "item_not_found"


async def test_items_of_an_expired_conversation_do_not_come_back(
    api: Api, engine: FakeEngineClient
) -> None:
    made = await api.post(
        "/v1/conversations", {"items": [{"role": "user", "content": "I am Ada."}]}
    )
    response = await create(api, conversation=made.json()["id"])
    await StoredConversation.objects.aupdate(expires_at=timezone.now())

    await create(api, input="Who am I?", previous_response_id=response["id"])

    assert "I am Ada." not in engine.requests[-1].prompt
    assert "Hello world" in engine.requests[-1].prompt
