"""The API's way through Django's handler, and the pages'."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import request_finished, request_started
from django.urls import get_resolver

from llm_manager.web import api_chain
from llm_manager.web.handler import Handler
from tests.fakes import accepted, begun, finished, tokens
from tests.inference.api.conftest import Api, chat_body
from tests.llm_manager.web.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes import FakeEngineClient


def streaming(api: Api) -> Connection:
    """Return a request for a stream."""
    body = json.dumps(chat_body(stream=True)).encode()
    return Connection(
        "/v1/chat/completions", method="POST", secret=api.secret, body=body
    )


@pytest.fixture
def signals() -> Iterator[list[str]]:
    """The signals that Django sends of requests."""
    said: list[str] = []

    def begin(**about: Any) -> None:
        said.append("started")

    def end(**about: Any) -> None:
        said.append("finished")

    request_started.connect(begin)
    request_finished.connect(end)
    yield said
    request_started.disconnect(begin)
    request_finished.disconnect(end)


async def test_an_answer_sends_djangos_signals(
    signals: list[str],
) -> None:
    request = Connection("/health")
    await request.send()

    assert (await request.start())["status"] == 200
    assert json.loads(await request.rest())["status"]
    assert signals == ["started", "finished"]


async def test_streams_hold_no_threads(api: Api, engine: FakeEngineClient) -> None:
    before = threading.active_count()
    requests = [streaming(api) for _ in range(30)]
    for request in requests:
        engine.enqueue(begun(), [tokens("a")])
        await request.send()
        assert (await request.start())["status"] == 200
        assert await request.piece()

    # The pool that asks the database has some, however many the streams are.
    assert threading.active_count() - before < len(requests) / 2
    for stream, request in zip(engine.streams, requests, strict=True):
        stream.play([finished()])
        assert (await request.rest()).endswith(b"data: [DONE]\n\n")


async def test_a_client_that_leaves_gives_its_sequence_up(
    api: Api, engine: FakeEngineClient, signals: list[str]
) -> None:
    engine.enqueue(begun(), [tokens("a")])
    request = streaming(api)
    await request.send()
    await request.start()
    await request.piece()

    await request.leave()

    assert [stream.is_closed for stream in engine.streams] == [True]
    assert signals == ["started", "finished"]


async def test_a_client_that_leaves_before_its_answer_gives_its_sequence_up(
    api: Api, engine: FakeEngineClient, signals: list[str]
) -> None:
    engine.enqueue([accepted()])
    request = streaming(api)
    await request.send()
    await engine.has_streams()

    await request.leave()

    assert [stream.is_closed for stream in engine.streams] == [True]
    assert signals == ["started", "finished"]


async def test_a_path_without_a_route_is_404() -> None:
    assert (await Connection("/nowhere").answer()).status == 404


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("path", "status"), [("/health", 200), ("/admin/login/", 200)])
async def test_a_url_is_resolved_once(
    path: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved: list[str] = []
    resolver = get_resolver()
    resolve = resolver.resolve

    def noted(path: str) -> Any:
        resolved.append(path)
        return resolve(path)

    monkeypatch.setattr(resolver, "resolve", noted)
    api_chain._resolve.cache_clear()

    for _ in range(2):
        assert (await Connection(path).answer()).status == status
    assert resolved == [path]


async def test_the_api_passes_its_own_middleware_and_pages_pass_theirs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the session middleware ran")

    session = "django.contrib.sessions.middleware.SessionMiddleware"
    monkeypatch.setattr(f"{session}.process_request", fail)

    assert (await Connection("/health").answer()).status == 200
    assert (await Connection("/admin/login/").answer()).status == 500


async def test_a_query_that_is_no_text_is_refused(signals: list[str]) -> None:
    request = Connection("/health", query=b"\xff")
    await request.send()

    assert (await request.start())["status"] == 400
    await request.rest()
    assert signals == ["started", "finished"]


def test_middleware_of_the_api_that_is_not_asynchronous_is_refused(
    settings: Any,
) -> None:
    settings.API_MIDDLEWARE = [f"{__name__}.synchronous"]

    with pytest.raises(ImproperlyConfigured, match="synchronous is not asynchronous"):
        Handler()


def synchronous(get_response: Any) -> Any:
    """Middleware that cannot run in the event loop."""
    return lambda request: get_response(request)
