"""Bodies of a key are kept while its capture is on, and its client never notices."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError
from django.utils import timezone

from accounts.captures import writer as writer_module
from accounts.captures.writer import Captured, CaptureWriter
from accounts.models import ApiKey, CapturedBody, Scope
from inference.api.accounting import capture as capture_module
from inference.api.responses_api.background_view import background_writer
from inference.errors import QueueFull
from tests.factories import make_api_key
from tests.inference.api.conftest import Api, events_of, read_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fakes import FakeEngineClient

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "sk-" + "a" * 40


@pytest.fixture(autouse=True)
def writer(monkeypatch: pytest.MonkeyPatch) -> Iterator[CaptureWriter]:
    """The thread that writes, which ends with the test."""
    writer = CaptureWriter()
    monkeypatch.setattr(capture_module, "capture_writer", writer)
    yield writer
    writer.close()


@pytest.fixture
async def captured_api(api: Api, key: tuple[ApiKey, str]) -> Api:
    """The API, called with a key whose capture is on."""
    hour = timezone.now() + timedelta(hours=1)
    await sync_to_async(key[0].capture)(hour, by=None)
    return api


@pytest.fixture
def rows(writer: CaptureWriter) -> Callable[[], Any]:
    """Return a function that waits for the rows and returns them."""

    async def read() -> list[CapturedBody]:
        await sync_to_async(writer.close)()
        return [row async for row in CapturedBody.objects.all()]

    return read


async def test_a_whole_answer_and_its_request_are_kept_redacted(
    captured_api: Api, rows: Callable[[], Any], key: tuple[ApiKey, str]
) -> None:
    message = {"role": "user", "content": f"Use {SECRET}."}
    response = await captured_api.chat(messages=[message])
    assert response.status_code == 200
    (row,) = await rows()
    assert json.loads(row.request) == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "Use [redacted]."}],
    }
    said = json.loads(row.answer)["choices"][0]["message"]["content"]
    assert said == response.json()["choices"][0]["message"]["content"]
    assert row.key_id == key[0].pk
    assert row.expires_at - row.captured_at == timedelta(hours=72)
    assert not row.is_request_cut
    assert not row.is_answer_cut


async def test_a_stream_is_kept_as_one_answer_and_reaches_its_client_unchanged(
    captured_api: Api, rows: Callable[[], Any], key: tuple[ApiKey, str]
) -> None:
    pieces = await read_stream(await captured_api.chat(stream=True))
    *_, last, done = events_of(pieces)
    assert done == "[DONE]"
    assert last["choices"][0]["finish_reason"] == "stop"
    (row,) = await rows()
    (choice,) = json.loads(row.answer)["choices"]
    assert choice["message"]["content"] == "Hello world"
    assert choice["finish_reason"] == "stop"


async def test_a_response_is_kept_too(
    captured_api: Api, rows: Callable[[], Any]
) -> None:
    body = {"model": "tiny", "input": f"Use {SECRET}.", "stream": True}
    await read_stream(await captured_api.post("/v1/responses", body))
    (row,) = await rows()
    assert json.loads(row.request)["input"] == "Use [redacted]."
    assert "Hello world" in json.dumps(json.loads(row.answer)["output"])


async def test_a_stream_of_a_message_is_kept_too(
    captured_api: Api, rows: Callable[[], Any]
) -> None:
    messages = [{"role": "user", "content": "Hi"}]
    body = {"model": "tiny", "messages": messages, "max_tokens": 5, "stream": True}
    await read_stream(await captured_api.post("/v1/messages", body))
    (row,) = await rows()
    (block,) = json.loads(row.answer)["content"]
    assert block == {"type": "text", "text": "Hello world"}


async def test_a_response_in_the_background_is_kept_once_with_its_request(
    captured_api: Api, rows: Callable[[], Any], configure: Callable[..., None]
) -> None:
    configure(api__store=True)
    body = {"model": "tiny", "input": f"Use {SECRET}.", "background": True}
    answer = await captured_api.post("/v1/responses", body)
    id_ = answer.json()["id"]
    await read_stream(await captured_api.get(f"/v1/responses/{id_}?stream=true"))
    async with asyncio.timeout(20):
        while background_writer._tasks:
            await asyncio.sleep(0.02)
    (row,) = await rows()
    assert json.loads(row.request)["input"] == "Use [redacted]."
    assert "Hello world" in json.dumps(json.loads(row.answer)["output"])


async def test_a_refusal_is_kept_with_what_was_refused(
    captured_api: Api, rows: Callable[[], Any]
) -> None:
    response = await captured_api.chat(temperature="hot")
    assert response.status_code == 400
    (row,) = await rows()
    assert json.loads(row.request)["temperature"] == "hot"
    assert json.loads(row.answer)["error"]["param"] == "temperature"


async def test_a_body_that_is_no_json_is_kept(
    captured_api: Api, rows: Callable[[], Any]
) -> None:
    await captured_api.post("/v1/chat/completions", b"{nonsense")
    (row,) = await rows()
    assert row.request == "{nonsense"


async def test_a_large_body_is_kept_in_part(
    captured_api: Api, rows: Callable[[], Any], configure: Callable[..., None]
) -> None:
    configure(capture__max_kb=1)
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    content = [image, {"type": "text", "text": "word " * 500_000}]
    await captured_api.chat(messages=[{"role": "user", "content": content}])
    (row,) = await rows()
    assert row.is_request_cut
    assert len(row.request) < 3000
    assert "[image/png, 26 characters]" in row.request
    assert "word word" in row.request


@pytest.mark.parametrize("hours", [None, -1])
async def test_without_a_capture_nothing_is_kept(
    api: Api, rows: Callable[[], Any], key: tuple[ApiKey, str], hours: int | None
) -> None:
    if hours is not None:
        past = timezone.now() + timedelta(hours=hours)
        await sync_to_async(key[0].capture)(past, by=None)
    await api.chat()
    await read_stream(await api.chat(stream=True))
    assert await rows() == []


async def test_other_keys_are_not_captured(
    captured_api: Api, rows: Callable[[], Any]
) -> None:
    make = sync_to_async(make_api_key)
    _, secret = await make(scopes=[Scope.INFERENCE], rate_limit=0)
    await Api(secret).chat()
    assert await rows() == []


async def test_an_answer_is_whole_when_its_row_cannot_be_written(
    captured_api: Api,
    rows: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(captured: Captured) -> None:
        raise OperationalError(f"no such table, VALUES ({captured.request})")

    monkeypatch.setattr(writer_module, "store", fail)
    message = {"role": "user", "content": "private words"}
    assert (await captured_api.chat(messages=[message])).status_code == 200
    assert events_of(await read_stream(await captured_api.chat(stream=True)))
    assert await rows() == []
    assert "are not captured: OperationalError" in caplog.text
    assert "private words" not in caplog.text


async def test_an_answer_is_whole_when_its_request_cannot_be_redacted(
    captured_api: Api, rows: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(body: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(capture_module, "_redacted", fail)
    assert (await captured_api.chat()).status_code == 200
    assert await rows() == []


async def test_what_comes_faster_than_it_can_be_written_is_left_out_and_said(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = CaptureWriter()
    monkeypatch.setattr(writer, "_run", lambda: None)
    one = Captured("1", 1, "private words", False, (), False, False)
    with caplog.at_level(logging.WARNING):
        for _ in range(201):
            writer.put(one)
    assert caplog.text.count("are not captured") == 1
    assert "private words" not in caplog.text


def test_a_database_that_does_not_answer_does_not_hold_up_the_end(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answers = threading.Event(), threading.Event()

    def store(captured: Captured) -> None:
        asked.set()
        answers.wait(60)

    monkeypatch.setattr(writer_module, "store", store)
    monkeypatch.setattr(writer_module, "_END_WITHIN_S", 0.01)
    writer = CaptureWriter()
    one = Captured("1", 1, "", False, (), False, False)
    try:
        with caplog.at_level(logging.WARNING):
            writer.put(one)
            assert asked.wait(20)
            for _ in range(200):
                writer.put(one)
            writer.close()
        assert caplog.messages == ["The bodies of the last requests are not captured"]
    finally:
        answers.set()


async def test_a_failure_in_the_engine_is_kept_with_the_request(
    captured_api: Api, rows: Callable[[], Any], engine: FakeEngineClient
) -> None:
    engine.refuse(QueueFull("Full."))
    assert (await captured_api.chat()).status_code == 503
    (row,) = await rows()
    assert json.loads(row.answer)["error"]["code"] == "queue_full"
