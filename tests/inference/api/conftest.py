"""A client of the API with a key, and an engine that plays scripts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.cache import cache
from django.middleware.csrf import _get_new_csrf_string
from django.test import AsyncClient, Client
from django.test.client import AsyncClientHandler

from accounts.models import ApiKey, Scope
from inference.api.chat.view import ChatCompletionsView
from inference.api.worker_view import WorkerView
from llm_manager.web.api_chain import api_chain, find_route, is_api
from tests.configuration import unchecked
from tests.factories import make_api_key, make_model
from tests.fakes import FakeEngineClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from django.contrib.auth.models import User
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from registry.models import Model

ORIGIN = "http://testserver"
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


class ApiClientHandler(AsyncClientHandler):
    """Takes requests the way that ``llm_manager.web.handler.Handler`` takes them."""

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        request.resolver_match = find_route(request.path_info)
        if is_api(request.resolver_match):
            return await api_chain()(request)
        return await super().get_response_async(request)


class Api:
    """Calls the API as the owner of a key would."""

    def __init__(self, secret: str | None) -> None:
        self.client = AsyncClient(raise_request_exception=False)
        self.client.handler = ApiClientHandler()
        self.secret = secret

    def headers(self, extra: dict[str, str] | None = None) -> dict[str, str]:
        """Return the headers of a request."""
        key = {} if self.secret is None else {"Authorization": f"Bearer {self.secret}"}
        return {**key, **(extra or {})}

    async def get(self, path: str, **headers: str) -> Any:
        """GET."""
        return await self.client.get(path, headers=self.headers(headers))

    async def post(self, path: str, body: Any = None, **headers: str) -> Any:
        """POST a JSON body; bytes are sent as they are."""
        return await self.send("POST", path, body, **headers)

    async def send(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> Any:
        """Send a JSON body by any method; bytes are sent as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.client.generic(
            method,
            path,
            b"" if body is None else data,
            content_type="application/json",
            headers=self.headers(headers),
        )

    async def chat(self, **overrides: Any) -> Any:
        """POST a chat request."""
        return await self.post("/v1/chat/completions", chat_body(**overrides))

    async def complete(self, **overrides: Any) -> Any:
        """POST a text completion request."""
        body = {"model": "tiny", "prompt": "Once", **overrides}
        return await self.post("/v1/completions", body)


class Browser(Api):
    """Calls the API as a page does: with cookies, a CSRF token and an origin."""

    def __init__(self, user: User) -> None:
        super().__init__(None)
        self.token = _get_new_csrf_string()
        signed_in = Client()
        signed_in.force_login(user)
        self.client.cookies = signed_in.cookies
        self.client.cookies[settings.CSRF_COOKIE_NAME] = self.token

    def headers(self, extra: dict[str, str] | None = None) -> dict[str, str]:
        """Return the headers of a request; an extra one that is empty is left away."""
        headers = {"x-csrftoken": self.token, "origin": ORIGIN, **(extra or {})}
        return {name: value for name, value in headers.items() if value}

    def forge(self) -> None:
        """Take a session that nobody has."""
        self.client.cookies[settings.SESSION_COOKIE_NAME] = "x" * 32


def chat_body(**overrides: Any) -> dict[str, Any]:
    """Return a valid chat request with changes."""
    message = {"role": "user", "content": "Hi"}
    return {"model": "tiny", "messages": [message], **overrides}


async def read_stream(response: Any) -> list[bytes]:
    """Return the pieces of a stream as they were sent."""
    iterator: AsyncIterator[bytes] = aiter(response)
    return [piece async for piece in iterator]


def events_of(pieces: list[bytes]) -> list[Any]:
    """Return the payloads of a stream's events; "[DONE]" stays text."""
    lines = b"".join(pieces).decode().split("\n\n")
    payloads = [
        line.removeprefix("data: ") for line in lines if line.startswith("data")
    ]
    return [text if text == "[DONE]" else json.loads(text) for text in payloads]


async def call_view(request: Any) -> Any:
    """Hand a request that a test has made to the chat view."""
    view: Any = ChatCompletionsView.as_view()
    return await view(request)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start from fresh counters, and write nothing behind a test's back."""
    cache.clear()
    monkeypatch.setattr("accounts.keys.authentication.note_last_use", lambda *use: None)


@pytest.fixture
def configure(settings: Any) -> Callable[..., None]:
    """Return a function that changes keys of the configuration: ``a__b`` is a.b."""

    def change(**keys: Any) -> None:
        settings.CONFIG = unchecked(settings.CONFIG, **keys)

    return change


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngineClient:
    """The engine that every request gets."""
    fake = FakeEngineClient()
    monkeypatch.setattr(WorkerView, "get_client", lambda view: fake)
    return fake


@pytest.fixture
async def model(transactional_db: None) -> Model:
    """A chat model named tiny."""
    return await sync_to_async(make_model)("tiny", chat_template=CHATML)


@pytest.fixture
async def key(transactional_db: None) -> tuple[ApiKey, str]:
    """A key for inference without a rate limit."""
    return await sync_to_async(make_api_key)(scopes=[Scope.INFERENCE], rate_limit=0)


@pytest.fixture
async def api(model: Model, key: tuple[ApiKey, str], engine: FakeEngineClient) -> Api:
    """The API, called with a good key; there is one model, and an engine."""
    return Api(key[1])


@pytest.fixture
async def admin_api(model: Model, engine: FakeEngineClient) -> Api:
    """The API, called with a key that may do everything."""
    make = sync_to_async(make_api_key)
    _, secret = await make(scopes=list(Scope.values), rate_limit=0)
    return Api(secret)
