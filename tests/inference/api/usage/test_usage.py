"""GET /v1/usage: a key sees its own, an administrator's sees all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async

from accounts.models import Scope, UsageDay
from accounts.usage.summary import today
from tests.factories import make_api_key
from tests.inference.api.conftest import Api

if TYPE_CHECKING:
    from accounts.models import ApiKey


def add(key: ApiKey, model: str = "tiny", **fields: Any) -> None:
    UsageDay.objects.create(
        day=today(),
        key_id=key.pk,
        key_prefix=key.prefix,
        key_name=key.name,
        owner_id=key.owner_id,
        owner_name=key.owner.get_username(),
        model_id=len(model),
        model_name=model,
        requests=1,
        **fields,
    )


@pytest.fixture
async def others(key: tuple[ApiKey, str]) -> ApiKey:
    """Another key; both have used something."""

    def make() -> ApiKey:
        other, _ = make_api_key(name="other")
        add(key[0], prompt_tokens=10, completion_tokens=5)
        add(key[0], "large", completion_tokens=50)
        add(other, completion_tokens=7)
        return other

    return await sync_to_async(make)()


async def test_a_key_sees_its_own_days(
    api: Api, key: tuple[ApiKey, str], others: ApiKey
) -> None:
    response = await api.get("/v1/usage")
    body = response.json()
    assert (body["object"], body["time_zone"], body["by"]) == ("usage", "UTC", ["day"])
    (day,) = body["data"]
    assert day["day"] == body["until"]
    assert (day["requests"], day["prompt_tokens"]) == (2, 10)
    assert body["total"]["completion_tokens"] == 55
    by_model = (await api.get("/v1/usage?by=model")).json()["data"]
    assert [group["model"] for group in by_model] == ["large", "tiny"]
    own = await api.get(f"/v1/usage?by=&key={key[0].prefix}&model=tiny")
    assert own.json()["total"]["completion_tokens"] == 5


@pytest.mark.parametrize("query", ["by=owner", "by=day,team", "owner=ann", "key=sk-x"])
async def test_others_need_the_scope_admin(
    api: Api, others: ApiKey, query: str
) -> None:
    response = await api.get(f"/v1/usage?{query}")
    assert response.status_code == 403
    assert response.json()["error"]["code"] == "insufficient_scope"


async def test_an_administrators_key_sees_all(admin_api: Api, others: ApiKey) -> None:
    by_key = (await admin_api.get("/v1/usage?by=key,owner")).json()["data"]
    assert [group["completion_tokens"] for group in by_key] == [55, 7]
    assert by_key[1]["key"] == others.prefix
    assert by_key[1]["owner"] == others.owner.get_username()
    of_other = await admin_api.get(f"/v1/usage?by=model&key={others.prefix}")
    assert [group["model"] for group in of_other.json()["data"]] == ["tiny"]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("since=yesterday", "since"),
        ("since=0d&until=1d", "until"),
        ("by=colour", "by"),
        ("colour=red", "colour"),
    ],
)
async def test_a_bad_query_is_refused_by_name(api: Api, query: str, param: str) -> None:
    response = await api.get(f"/v1/usage?{query}")
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


async def test_any_scope_will_do_and_no_key_will_not(
    others: ApiKey, settings: Any
) -> None:
    _, secret = await sync_to_async(make_api_key)(scopes=[Scope.MODELS])
    assert (await Api(secret).get("/v1/usage")).status_code == 200
    assert (await Api(None).get("/v1/usage")).status_code == 401
    settings.AUTH_REQUIRED = False
    assert (await Api(None).get("/v1/usage")).status_code == 401
    assert (await Api("sk-llmm-wrong").get("/v1/usage")).status_code == 401
