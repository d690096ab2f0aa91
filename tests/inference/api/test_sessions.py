"""The API for who is signed in: from pages of this server, and with a permission."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async

from accounts.keys.live_keys import LiveKeys
from accounts.limits.limit_rows import rules_of
from accounts.limits.spending import budget_zone, spent
from accounts.models import Limit, LimitKind, UsageDay
from accounts.session_access import SessionAccess
from accounts.usage.summary import today
from tests.factories import make_api_key, make_model, make_team, make_user
from tests.fakes import begun, finished, tokens
from tests.inference.api.conftest import ORIGIN, Api, Browser, chat_body
from tests.inference.api.usage.conftest import entries as entries

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.contrib.auth.models import User

    from registry.models import Model
    from tests.fakes import FakeEngineClient
    from tests.inference.api.usage.conftest import Entries

PERMISSION = "accounts.use_playground"


@pytest.fixture
async def ada(transactional_db: None) -> User:
    """A staff user who may use the playground."""
    make = sync_to_async(make_user)
    return await make("ada", PERMISSION, is_staff=True)


@pytest.fixture
async def browser(model: Model, ada: User, engine: FakeEngineClient) -> Browser:
    """The browser of Ada."""
    return await sync_to_async(Browser)(ada)


def answered(engine: FakeEngineClient) -> None:
    engine.enqueue(begun(5), [tokens("Hello")], [finished(prompt=5, completion=3)])


def refused(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


async def test_a_page_gets_answers_that_are_counted_to_its_user(
    browser: Browser, ada: User, engine: FakeEngineClient, entries: Entries
) -> None:
    answered(engine)
    response = await browser.chat()
    assert response.status_code == 200
    assert response.json()["choices"][0]["message"]["content"] == "Hello"
    (entry,) = entries()
    assert (entry["owner_id"], entry["owner_name"]) == (ada.pk, "ada")
    # No key: the ids and names are those of none.
    assert not {"key_id", "key_name", "key_prefix"} & entry.keys()
    assert entry["completion_tokens"] == 3
    # All that the engine knows of the person: a name for fair shares and prefixes.
    (request,) = engine.requests
    assert (request.key, request.owner) == (f"session:{ada.pk}", str(ada.pk))


async def test_a_page_reads_the_models_too(browser: Browser) -> None:
    response = await browser.get("/v1/models", origin="", referer=f"{ORIGIN}/admin/")
    assert [model["id"] for model in response.json()["data"]] == ["tiny"]


@pytest.mark.parametrize(
    "headers",
    [
        {"x-csrftoken": "wrong"},
        {"x-csrftoken": "A" * 32},
        {"origin": "http://elsewhere.example"},
        {"origin": "null"},
        {"origin": "https://testserver"},
        {"origin": ""},
        {"origin": "", "referer": "http://elsewhere.example/testserver"},
        {"origin": "", "referer": "//["},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_no_page_of_this_server_sent_is_403(
    browser: Browser,
    engine: FakeEngineClient,
    headers: dict[str, str],
    method: str,
) -> None:
    path = "/v1/models" if method == "GET" else "/v1/chat/completions"
    body = None if method == "GET" else chat_body()
    response = await browser.send(method, path, body, **headers)
    assert refused(response) == (403, "csrf_failed")
    assert engine.requests == []


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/tiny", "/v1/usage"])
async def test_a_get_with_only_the_cookie_is_nobodys(
    browser: Browser, path: str
) -> None:
    response = await browser.get(path, **{"x-csrftoken": ""})
    assert refused(response) == (401, "invalid_api_key")


async def test_a_post_with_only_the_cookie_is_nobodys(
    browser: Browser, engine: FakeEngineClient
) -> None:
    response = await browser.post(
        "/v1/chat/completions", chat_body(), **{"x-csrftoken": ""}
    )
    assert refused(response) == (401, "invalid_api_key")
    assert engine.requests == []


@pytest.mark.parametrize(
    "headers", [{"authorization": "Basic eA=="}, {"x-api-key": "sk-llmm-x"}]
)
async def test_beside_another_credential_a_session_does_not_count(
    browser: Browser, headers: dict[str, str]
) -> None:
    response = await browser.post("/v1/chat/completions", chat_body(), **headers)
    assert refused(response) == (401, "invalid_api_key")


async def test_a_session_that_is_unknown_or_over_is_401(browser: Browser) -> None:
    browser.forge()
    assert refused(await browser.chat()) == (401, "session_ended")


async def test_sessions_that_are_tried_out_are_limited_as_keys_are(
    browser: Browser, configure: Callable[..., None]
) -> None:
    configure(server__rate_limit=1)
    browser.forge()
    assert refused(await browser.chat()) == (401, "session_ended")
    assert refused(await browser.chat()) == (429, "rate_limit_exceeded")


async def test_a_disabled_user_is_401(browser: Browser, ada: User) -> None:
    ada.is_active = False
    await ada.asave()
    assert refused(await browser.chat()) == (401, "session_ended")


async def test_a_new_password_ends_the_session(browser: Browser, ada: User) -> None:
    await sync_to_async(ada.set_password)("another")
    await ada.asave()
    assert refused(await browser.chat()) == (401, "session_ended")


@pytest.mark.parametrize("takes", ["the permission", "staff"])
async def test_without_the_permission_or_the_staff_status_it_is_403(
    browser: Browser, ada: User, engine: FakeEngineClient, takes: str
) -> None:
    if takes == "staff":
        ada.is_staff = False
        await ada.asave()
    else:
        await ada.user_permissions.aclear()
    assert refused(await browser.chat()) == (403, "playground_not_allowed")
    assert engine.requests == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/models/tiny/load"),
        ("POST", "/v1/models/tiny/unload"),
        ("POST", "/v1/models"),
        ("DELETE", "/v1/models/tiny"),
        ("GET", "/v1/usage"),
        ("GET", "/v1/admin/keys"),
        ("GET", "/metrics"),
        ("GET", "/health/detailed"),
    ],
)
async def test_a_session_opens_what_uses_models_and_nothing_else(
    browser: Browser, method: str, path: str
) -> None:
    body: Any = {} if method == "POST" else None
    assert refused(await browser.send(method, path, body)) == (403, "key_needed")


async def test_a_member_of_teams_may_use_the_models_of_one_of_them(
    browser: Browser, ada: User, engine: FakeEngineClient
) -> None:
    def put_in_team() -> None:
        team = make_team("red", ada, all_models=False)
        team.allowed_models.add(make_model("other"))

    await sync_to_async(put_in_team)()
    response = await browser.chat()
    assert refused(response) == (403, "model_not_allowed")
    assert response.json()["error"]["message"].startswith("You may not use the model")
    listed = (await browser.get("/v1/models")).json()["data"]
    assert [model["id"] for model in listed] == ["other"]


async def test_the_limits_of_its_owner_hold(
    browser: Browser, ada: User, engine: FakeEngineClient
) -> None:
    kind = LimitKind.REQUESTS_MINUTE
    await Limit.objects.acreate(user=ada, kind=kind, amount=1, is_shared=True)
    answered(engine)
    assert (await browser.chat()).status_code == 200
    response = await browser.chat()
    assert refused(response) == (429, "rate_limit_exceeded")
    assert "for the user 'ada'" in response.json()["error"]["message"]
    assert len(engine.requests) == 1


async def test_the_default_rate_limit_holds_for_all_sessions_of_a_person(
    browser: Browser, ada: User, engine: FakeEngineClient, configure: Any
) -> None:
    configure(server__rate_limit=1)
    answered(engine)
    assert (await browser.chat()).status_code == 200
    other = await sync_to_async(Browser)(ada)
    response = await other.chat()
    assert refused(response) == (429, "rate_limit_exceeded")
    message = response.json()["error"]["message"]
    assert "for 'ada' without a key (the default)" in message


@pytest.mark.django_db
def test_what_sessions_spent_is_in_the_sums_of_days_without_a_key() -> None:
    user = make_user("ada")
    for key_id, count in ((0, 30), (7, 500)):
        UsageDay.objects.create(
            day=today(), owner_id=user.pk, key_id=key_id, prompt_tokens=count
        )
    UsageDay.objects.create(day=today(), owner_id=user.pk + 1, prompt_tokens=9)
    limit = Limit.objects.create(kind=LimitKind.TOKENS_MONTH, amount=100)
    rules = rules_of(SessionAccess(user, None), None)
    (rule,) = (rule for rule in rules if rule.kind == limit.kind)
    assert spent(rule, datetime.now(budget_zone())) == 30


@pytest.mark.django_db
def test_a_request_ends_with_what_allowed_it() -> None:
    user = make_user("ada", PERMISSION, is_staff=True)
    key, _ = make_api_key()
    model = make_model()
    use = (f"session:{user.pk}", model.pk)
    uses = {use, (key.prefix, model.pk)}
    live = LiveKeys()
    assert live.ended(uses) == {}

    team = make_team("red", user, all_models=False)
    assert "may not use this model any more" in str(live.ended(uses)[use])
    team.allowed_models.add(model)
    assert live.ended(uses) == {}

    user.user_permissions.clear()
    assert "may not use the playground any more" in str(live.ended(uses)[use])

    user.is_active = False
    user.save()
    assert "deactivated, which ended this request" in str(live.ended(uses)[use])
    assert list(live.ended(uses)) == [use]


async def test_a_request_with_a_key_asks_nothing_about_sessions(
    browser: Browser, engine: FakeEngineClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, secret = await sync_to_async(make_api_key)(rate_limit=0)
    api = Api(secret)
    answered(engine)
    api.client.cookies = browser.client.cookies
    opened: list[Any] = []
    monkeypatch.setattr("accounts.keys.session._Probe", opened.append)
    response = await api.post(
        "/v1/chat/completions", chat_body(), **{"x-csrftoken": browser.token}
    )
    assert response.status_code == 200
    assert opened == []
