"""Three people before every page and every route: who sees what of a team's key.

Olga owns the key, Tim is in her team, Sam is a stranger. None has staff rights. Each
has a key of the scope "inference" for the API.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import ApiKey, Invitation
from accounts.sign_in.invitations import invitation_create
from inference.api.view import ApiView
from tests.configuration import unchecked
from tests.factories import make_api_key, make_model, make_team, make_user
from tests.inference.api.conftest import Api, Browser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.contrib.auth.models import User

pytestmark = pytest.mark.django_db

PEOPLE = ("owner", "team member", "stranger")
MARK = "olgas-secret-key"
#: Pages that everyone may open. Those of signing in lead who is signed in elsewhere.
OPEN = frozenset(
    {
        "root",
        "health",
        "docs",
        "openapi",
        "unknown",
        "login",
        "jsi18n",
        "logout",
        "account_login",
        "account_inactive",
        "account_invitation",
        "openid_connect_login",
        "openid_connect_callback",
        "socialaccount_login_cancelled",
        "socialaccount_login_error",
        "socialaccount_signup",
    }
)
#: Routes of the API that a key of the scope "inference" may use.
INFERENCE = frozenset(
    {
        "chat-completions",
        "completions",
        "embeddings",
        "rerank",
        "responses",
        "response-input-tokens",
        "response",
        "response-cancel",
        "response-input-items",
        "conversations",
        "conversation",
        "conversation-items",
        "conversation-item",
        "files",
        "file",
        "file-content",
        "batches",
        "batch",
        "batch-cancel",
        "tokenize",
        "detokenize",
        "apply-template",
        "messages",
        "count-tokens",
        "ollama-chat",
        "ollama-generate",
        "ollama-embed",
        "ollama-embeddings",
        "ollama-tags",
        "ollama-show",
        "ollama-ps",
        "ollama-version",
        "models",
        "model",
        "usage",
    }
)
#: What changes models at routes that show them needs another scope.
CHANGING = frozenset({("POST", "models"), ("DELETE", "model")})
VALUES = {
    "object_id": "1",
    "app_label": "accounts",
    "content_type_id": "1",
    "url": "x",
    "form": "csv",
    "token": "nonsense",
    "provider_id": "sso",
    "model_id": "tiny",
    "response_id": "resp_1",
    "conversation_id": "conv_1",
    "file_id": "file-1",
    "batch_id": "batch_1",
    "item_id": "msg_1",
    "name": "red",
    "number": "1",
}


@dataclass(frozen=True)
class Route:
    """A route: its name, a path that matches it, and whether it is the API's."""

    name: str
    path: str
    is_api: bool
    is_admin: bool


def routes() -> Iterator[Route]:
    """Yield every route once, with ``{prefix}`` for the prefix of Olga's key."""
    seen = set()
    for pattern, text in _patterns(get_resolver().url_patterns, ""):
        view = getattr(pattern.callback, "view_class", None)
        is_api = isinstance(view, type) and issubclass(view, ApiView)
        name = pattern.name or text
        if name not in seen and name != "unknown":
            seen.add(name)
            yield Route(name, f"/{text}", is_api, text.startswith("admin/"))


def _patterns(patterns: Any, before: str) -> Iterator[tuple[URLPattern, str]]:
    for each in patterns:
        text = before + _path_of(str(each.pattern))
        if isinstance(each, URLResolver):
            yield from _patterns(each.url_patterns, text)
        else:
            yield each, text


def _path_of(pattern: str) -> str:
    """Return a path that a route or a regular expression matches."""
    text = re.sub(r"\(\?P<(\w+)>(?:[^()]|\([^()]*\))*\)", r"<str:\1>", pattern)
    text = text.replace("^", "").replace("$", "").replace(r"\Z", "")
    text = text.replace("<str:prefix>", "{prefix}").replace("<path:prefix>", "{prefix}")
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda found: VALUES.get(found[1], "x"), text)


ROUTES = sorted(routes(), key=lambda route: route.name)


@pytest.fixture(autouse=True)
def _all_routes(settings: Any) -> None:
    settings.CONFIG = unchecked(settings.CONFIG, api__ollama=True)


@pytest.fixture
def people() -> dict[str, User]:
    olga, tim, sam = (make_user(name, password="x") for name in ("olga", "tim", "sam"))
    make_team("red", olga, tim)
    return dict(zip(PEOPLE, (olga, tim, sam), strict=True))


@pytest.fixture
def key(people: dict[str, User]) -> ApiKey:
    owner = people["owner"]
    team = owner.groups.get().team
    make_model("tiny")
    return make_api_key(owner, name=MARK, team=team)[0]


def test_no_route_was_forgotten() -> None:
    names = {route.name for route in ROUTES}
    assert {"account", "account_revoke_key", "admin-keys", "load", "metrics"} <= names
    assert names >= INFERENCE | (OPEN - {"unknown"})
    assert sum(route.is_admin for route in ROUTES) > 80
    assert all("<" not in route.path and "(" not in route.path for route in ROUTES)


@pytest.mark.parametrize("person", PEOPLE)
def test_the_admin_is_closed_to_all_three(
    people: dict[str, User], key: ApiKey, person: str
) -> None:
    client = Client()
    client.force_login(people[person])
    for route in ROUTES:
        if not route.is_admin or route.name in OPEN:
            continue
        for method in (client.get, client.post):
            answer: Any = method(route.path.replace("{prefix}", key.prefix))
            where = (route.path, answer.status_code)
            # To the login, which sends on to one's own page, or nowhere.
            assert answer.status_code in (302, 301, 403, 404, 405), where
            assert MARK not in answer.content.decode(), where
    key.refresh_from_db()
    assert key.is_active


@pytest.mark.parametrize("person", PEOPLE)
def test_own_pages_show_the_key_to_its_owner_only(
    people: dict[str, User], key: ApiKey, person: str
) -> None:
    client = Client()
    for route in ROUTES:
        if route.is_api or route.is_admin or route.name in OPEN:
            continue
        path = route.path.replace("{prefix}", key.prefix)
        nobody = Client().get(path)
        assert nobody.status_code == 302, path
        assert MARK not in nobody.content.decode(), path

        client.force_login(people[person])
        answer = client.get(path)
        where = (path, answer.status_code)
        is_of_a_key = "{prefix}" in route.path
        # Without a second factor there is nothing to remove.
        fine = (200, 302, 404) if route.name.startswith("mfa_") else (200, 302)
        if person == "owner":
            assert answer.status_code in fine, where
            assert (MARK in answer.content.decode()) >= is_of_a_key, where
            continue
        assert answer.status_code in ((404,) if is_of_a_key else fine), where
        assert MARK not in answer.content.decode(), where
        if is_of_a_key:
            form = {"grace": "0", "form_id": "x"}
            assert client.post(path, form).status_code == 404, where
    key.refresh_from_db()
    assert key.is_active


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("person", [*PEOPLE, "nobody"])
def test_the_routes_of_the_api_take_keys_of_their_scopes(
    people: dict[str, User], key: ApiKey, person: str
) -> None:
    secret = None
    if person != "nobody":
        _, secret = make_api_key(people[person], rate_limit=0)
    send = async_to_sync(Api(secret).send)
    for route in ROUTES:
        if not route.is_api or route.name in OPEN:
            continue
        path = route.path.replace("{prefix}", key.prefix)
        for method in ("GET", "POST", "PATCH", "DELETE"):
            answer = send(method, path, {} if method != "GET" else None)
            where = (method, path, answer.status_code)
            if answer.status_code == 405:
                continue
            if person == "nobody":
                assert answer.status_code == 401, where
            elif route.name in INFERENCE and (method, route.name) not in CHANGING:
                assert answer.status_code not in (401, 403), where
            else:
                assert answer.status_code == 403, where
            assert MARK not in answer.content.decode(), where
    key.refresh_from_db()
    assert key.is_active


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("person", PEOPLE)
def test_the_routes_of_the_api_are_closed_to_the_sessions_of_all_three(
    people: dict[str, User], key: ApiKey, person: str
) -> None:
    send = async_to_sync(Browser(people[person]).send)
    for route in ROUTES:
        if not route.is_api or route.name in OPEN:
            continue
        path = route.path.replace("{prefix}", key.prefix)
        for method in ("GET", "POST", "PATCH", "DELETE"):
            answer = send(method, path, {} if method != "GET" else None)
            assert answer.status_code in (403, 405), (method, path)
            assert MARK not in answer.content.decode(), (method, path)


@pytest.mark.parametrize("person", PEOPLE)
def test_an_open_page_shows_nobody_the_key(
    people: dict[str, User], key: ApiKey, person: str
) -> None:
    invitation_create(days=1)
    client = Client()
    client.force_login(people[person])
    for route in ROUTES:
        if route.name in OPEN and not route.is_api and "oidc" not in route.path:
            answer = client.get(route.path)
            assert answer.status_code < 500, route.path
            assert MARK not in answer.content.decode(), route.path
            client.force_login(people[person])
    assert Invitation.objects.open().count() == 1
