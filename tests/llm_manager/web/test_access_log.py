"""The access log."""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING, Any

import pytest

from llm_manager.web.middleware.access_log import AccessLog
from tests.fakes import accepted, begun, finished, tokens
from tests.inference.api.conftest import Api, chat_body
from tests.llm_manager.web.connection import Connection

if TYPE_CHECKING:
    from tests.fakes import FakeEngineClient


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The lines of the access log."""
    caplog.set_level(logging.INFO, "llm_manager.access")
    return caplog


def chat(api: Api, **overrides: Any) -> Connection:
    """Return a chat request."""
    body = json.dumps(chat_body(**overrides)).encode()
    return Connection(
        "/v1/chat/completions", method="POST", secret=api.secret, body=body
    )


async def test_one_line_is_logged_without_query_body_or_secret(
    api: Api, log: pytest.LogCaptureFixture
) -> None:
    await Connection(
        "/v1/chat/completions",
        method="POST",
        query=b"token=secret",
        secret=api.secret,
        body=b"secret",
    ).answer()
    await Connection("/v1/a\nb").answer()

    lines = [record.getMessage() for record in log.records]
    assert len(lines) == 2
    assert re.fullmatch(
        r"POST /v1/chat/completions 400 \d+ ms id=[0-9a-f]{32}", lines[0]
    )
    assert lines[1].startswith("GET /v1/a%0Ab 404 ")
    assert "secret" not in log.text
    assert str(api.secret) not in log.text


async def test_a_page_that_is_not_found_is_one_line(
    log: pytest.LogCaptureFixture,
) -> None:
    await Connection("/nowhere").answer()

    assert [record.getMessage()[:17] for record in log.records] == ["GET /nowhere 404 "]


async def test_a_stream_is_logged_when_it_ends(
    api: Api, engine: FakeEngineClient, log: pytest.LogCaptureFixture
) -> None:
    engine.enqueue(begun(), [tokens("a")])
    request = chat(api, stream=True)
    await request.send()
    await request.start()
    await request.piece()
    assert log.records == []

    engine.streams[0].play([finished()])
    await request.rest()

    assert [record.getMessage()[:30] for record in log.records] == [
        "POST /v1/chat/completions 200 "
    ]


async def test_a_client_that_left_before_its_answer_is_logged_as_499(
    api: Api, engine: FakeEngineClient, log: pytest.LogCaptureFixture
) -> None:
    engine.enqueue([accepted()])
    request = chat(api)
    await request.send()
    await engine.has_streams()

    await request.leave()

    assert " 499 " in log.records[-1].getMessage()


async def test_an_application_that_fails_is_logged_as_500(
    log: pytest.LogCaptureFixture,
) -> None:
    async def fail(*arguments: Any) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await AccessLog(fail)({"method": "GET", "path": "/"}, fail, fail)  # type: ignore[arg-type]

    assert " 500 " in log.records[-1].getMessage()
