"""Answers of a server, and what each kind of failure becomes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx2
import pytest

from llm_manager.command_line.exit_status import CommandFailed, ExitStatus
from llm_manager.command_line.remote.api_client import ApiClient, model_path
from llm_manager.command_line.remote.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Callable


def client(
    answer: Callable[[httpx2.Request], httpx2.Response], *, key: str | None = "secret"
) -> ApiClient:
    return ApiClient(Connection("http://there", key), httpx2.MockTransport(answer))


def error(status: int) -> httpx2.Response:
    return httpx2.Response(status, json={"error": {"message": "In its own words."}})


def test_the_key_and_the_path_arrive() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.headers["Authorization"] == "Bearer secret"
        assert str(request.url) == "http://there/v1/models/org%2Ftiny/load"
        assert json.loads(request.content) == {"wait": True}
        return httpx2.Response(202, json={"id": "org/tiny"})

    loaded = client(answer).post(model_path("org/tiny", "load"), {"wait": True})
    assert loaded == {"id": "org/tiny"}


@pytest.mark.parametrize(
    ("status", "means"),
    [
        (400, ExitStatus.FAILED),
        (401, ExitStatus.REFUSED),
        (403, ExitStatus.REFUSED),
        (404, ExitStatus.NOT_FOUND),
        (429, ExitStatus.BUSY),
        (500, ExitStatus.FAILED),
        (503, ExitStatus.BUSY),
    ],
)
def test_a_refusal_has_the_servers_words_and_a_status(
    status: int, means: ExitStatus
) -> None:
    with pytest.raises(CommandFailed, match=r"^In its own words\.$") as caught:
        client(lambda _: error(status)).get("/v1/models")
    assert caught.value.status is means


def test_a_status_that_is_accepted_is_no_excuse_for_an_error() -> None:
    report = {"status": "unavailable", "workers": []}
    there = client(lambda _: httpx2.Response(503, json=report))
    assert there.get("/health/detailed", accepted=(503,)) == report
    with pytest.raises(CommandFailed, match=r"^In its own words\.$") as caught:
        client(lambda _: error(503)).get("/health/detailed", accepted=(503,))
    assert caught.value.status is ExitStatus.BUSY


def test_without_a_key_a_401_says_how_to_give_one() -> None:
    with pytest.raises(CommandFailed, match="--key or LLM_MANAGER_KEY"):
        client(lambda _: error(401), key=None).get("/v1/models")
    connection = Connection("http://there", key_variable="OPENAI_API_KEY")
    theirs = ApiClient(connection, httpx2.MockTransport(lambda _: error(401)))
    with pytest.raises(CommandFailed, match="--key or OPENAI_API_KEY"):
        theirs.get("/v1/models")


def test_no_server_is_a_status_of_its_own() -> None:
    def refuse(_: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("Connection refused")

    with pytest.raises(CommandFailed, match="No server answers at http://there") as e:
        client(refuse).get("/v1/models")
    assert e.value.status is ExitStatus.UNREACHABLE


@pytest.mark.parametrize("status", [200, 502])
def test_an_answer_of_something_else_is_said(status: int) -> None:
    page = httpx2.Response(status, text="<html>")
    with pytest.raises(CommandFailed, match="http://there"):
        client(lambda _: page).get("/v1/models")


def stream(text: str) -> list[object]:
    response = httpx2.Response(200, text=text)
    with client(lambda _: response).stream("/v1/chat/completions", {}) as events:
        return list(events)


def test_a_stream_is_its_events_without_what_keeps_it_open() -> None:
    text = (
        ': keep-alive\n\ndata: {"a": 1}\n\nid: 3\ndata: {"b": "é"}\n\ndata: [DONE]\n\n'
    )
    assert stream(text) == [{"a": 1}, {"b": "é"}]


def test_an_error_in_a_stream_is_a_failure() -> None:
    with pytest.raises(CommandFailed, match="It was unloaded"):
        stream('data: {"error": {"message": "It was unloaded."}}\n\n')


def test_a_stream_that_breaks_off_is_a_failure() -> None:
    with pytest.raises(CommandFailed, match="in the middle"):
        stream('data: {"a": 1}\n\n')


def test_a_stream_that_is_refused_has_the_servers_words() -> None:
    with (
        pytest.raises(CommandFailed, match="In its own words"),
        client(lambda _: error(404)).stream("/v1/chat/completions", {}),
    ):
        pass
