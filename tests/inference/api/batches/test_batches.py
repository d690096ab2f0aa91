"""/v1/batches: what becomes of the lines of a file."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from accounts.files.folder import content_path
from accounts.models import ApiKey, Batch
from inference.api.batches import rows
from inference.api.batches.request import BatchRequest
from inference.errors import EngineUnavailable
from tests.fakes import begun, finished, tokens
from tests.inference.api.batches.helpers import (
    create,
    ended,
    line,
    results,
    upload,
)
from tests.openai_schema import check

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.api.batches.running import BatchRunner
    from tests.fakes import FakeEngineClient
    from tests.inference.api.conftest import Api


@pytest.mark.usefixtures("runner")
async def test_every_line_is_answered(api: Api, engine: FakeEngineClient) -> None:
    lines = [line(f"n{n}") for n in range(20)]

    batch = await create(api, *lines, metadata={"for": "a test"})
    done = await ended(api, batch["id"])

    check("Batch", batch)
    check("Batch", done)
    assert batch["status"] == "validating"
    assert done["status"] == "completed"
    assert done["request_counts"] == {"total": 20, "completed": 20, "failed": 0}
    assert (done["model"], done["metadata"]) == ("tiny", {"for": "a test"})
    assert "error_file_id" not in done
    found = await results(api, done["output_file_id"])
    assert set(found) == {f"n{n}" for n in range(20)}
    answer = found["n7"]["response"]
    assert answer["status_code"] == 200
    check("CreateChatCompletionResponse", answer["body"])
    used = sum(
        each["response"]["body"]["usage"]["total_tokens"] for each in found.values()
    )
    assert done["usage"]["total_tokens"] == used > 0
    assert all(request.idle_only for request in engine.requests)
    assert (await api.get("/v1/files?purpose=batch_output")).json()["data"]


@pytest.mark.usefixtures("runner")
@pytest.mark.parametrize(
    ("endpoint", "body", "kind"),
    [
        ("/v1/completions", {"prompt": "Once"}, "text_completion"),
        ("/v1/responses", {"input": "Hi"}, "response"),
    ],
)
async def test_lines_are_for_any_endpoint_that_writes(
    api: Api, endpoint: str, body: Any, kind: str
) -> None:
    request = line("a", url=endpoint, **body).replace(
        b'"messages": [{"role": "user", "content": "Hi"}], ', b""
    )
    batch = await create(api, request, endpoint=endpoint)
    done = await ended(api, batch["id"])

    found = await results(api, done["output_file_id"])
    assert found["a"]["response"]["body"]["object"] == kind


@pytest.mark.usefixtures("runner")
async def test_what_is_refused_is_in_the_error_file(api: Api) -> None:
    batch = await create(api, line("good"), line("bad", temperature="warm"))
    done = await ended(api, batch["id"])

    assert done["request_counts"] == {"total": 2, "completed": 1, "failed": 1}
    failed = (await results(api, done["error_file_id"]))["bad"]
    assert failed["response"]["status_code"] == 400
    assert failed["response"]["body"]["error"]["param"] == "temperature"
    assert set(await results(api, done["output_file_id"])) == {"good"}


@pytest.mark.usefixtures("runner")
async def test_what_an_answer_goes_without_is_said_beside_it(api: Api) -> None:
    batch = await create(api, line("a", verbosity="low"))
    done = await ended(api, batch["id"])

    found = await results(api, done["output_file_id"])
    assert found["a"]["response"]["left_out"] == "verbosity"


@pytest.mark.usefixtures("runner")
@pytest.mark.parametrize(
    ("text", "code", "number"),
    [
        (b"{}\n", "missing_required_parameter", 1),
        (line("a") + b"nonsense\n", "invalid_json_line", 2),
        (line("a") + b"\n" + line("a"), "duplicate_custom_id", 3),
        (line(url="/v1/completions"), "url_mismatch", 1),
        (line(method="GET"), "invalid_method", 1),
        (line(stream=True), "unsupported_value", 1),
        (line(model="nobody"), "model_not_found", 1),
        (b" \n\n", "empty_file", None),
    ],
)
async def test_a_file_with_a_wrong_line_is_not_begun(
    api: Api, engine: FakeEngineClient, text: bytes, code: str, number: int | None
) -> None:
    batch = await create(api, text)
    failed = await ended(api, batch["id"])

    assert failed["status"] == "failed"
    check("Batch", failed)
    (fault,) = failed["errors"]["data"]
    assert (fault["code"], fault["line"]) == (code, number)
    assert engine.requests == []


@pytest.mark.usefixtures("runner")
async def test_a_file_has_no_more_lines_than_allowed(
    api: Api, configure: Callable[..., None]
) -> None:
    configure(batches__max_lines=2)
    batch = await create(api, *[line(str(n)) for n in range(3)])

    (fault,) = (await ended(api, batch["id"]))["errors"]["data"]
    assert fault["code"] == "too_many_tasks"


async def test_an_owner_has_no_more_open_batches_than_allowed(
    api: Api, configure: Callable[..., None]
) -> None:
    configure(batches__max_open=1)
    await create(api, line())
    body = {
        "input_file_id": await upload(api, line()),
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
    }
    refused = await api.post("/v1/batches", body)

    assert (refused.status_code, refused.json()["error"]["code"]) == (
        429,
        "too_many_batches",
    )


@pytest.mark.usefixtures("runner")
async def test_no_more_lines_are_at_the_engine_than_configured(
    api: Api, engine: FakeEngineClient, configure: Callable[..., None]
) -> None:
    configure(batches__in_flight=3)
    for _ in range(3):
        engine.enqueue(begun(), [tokens("Hel")])
    batch = await create(api, *[line(str(n)) for n in range(9)])
    await engine.has_streams(3)
    # All three hang; a fourth one would have come with them.
    await asyncio.sleep(0)
    assert len(engine.streams) == 3
    assert (await api.post(f"/v1/batches/{batch['id']}/cancel")).status_code == 200
    await ended(api, batch["id"])


@pytest.mark.usefixtures("runner")
async def test_a_batch_that_is_cancelled_keeps_what_was_answered(
    api: Api, engine: FakeEngineClient, configure: Callable[..., None]
) -> None:
    configure(batches__in_flight=1)
    engine.enqueue(begun(), [tokens("A"), finished()])
    engine.enqueue(begun(), [tokens("Hel")])
    batch = await create(api, *[line(f"n{n}") for n in range(3)])
    await engine.has_streams(2)

    cancelled = (await api.post(f"/v1/batches/{batch['id']}/cancel")).json()
    done = await ended(api, batch["id"])

    check("Batch", cancelled)
    assert cancelled["status"] in ("cancelling", "cancelled")
    assert done["status"] == "cancelled"
    assert done["request_counts"] == {"total": 3, "completed": 1, "failed": 2}
    assert set(await results(api, done["output_file_id"])) == {"n0"}
    errors = await results(api, done["error_file_id"])
    assert {each["error"]["code"] for each in errors.values()} == {"batch_cancelled"}
    assert all(stream.is_closed for stream in engine.streams)
    again = await api.post(f"/v1/batches/{batch['id']}/cancel")
    assert again.json()["status"] == "cancelled"


@pytest.mark.usefixtures("runner")
async def test_a_batch_expires_with_what_is_left(
    api: Api, engine: FakeEngineClient, configure: Callable[..., None]
) -> None:
    configure(batches__window_hours=0)
    for _ in range(2):
        engine.enqueue(begun(), [tokens("Hel")])

    batch = await create(api, line("a"), line("b"))
    done = await ended(api, batch["id"])

    assert done["status"] == "expired"
    errors = await results(api, done["error_file_id"])
    assert [each["error"]["code"] for each in errors.values()] == ["batch_expired"] * 2
    assert set(errors) == {"a", "b"}


@pytest.mark.usefixtures("runner")
async def test_a_line_that_is_refused_for_now_is_sent_again(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.refuse(EngineUnavailable("a test", retry_after=1))
    batch = await create(api, line("a"))

    done = await ended(api, batch["id"])

    assert done["request_counts"] == {"total": 1, "completed": 1, "failed": 0}
    assert len(engine.requests) == 2


async def test_lines_of_a_key_that_ended_fail(
    api: Api, engine: FakeEngineClient, key: tuple[ApiKey, str], runner: BatchRunner
) -> None:
    id_ = await upload(api, line("a"))
    row = await sync_to_async(_claimed_elsewhere)(id_)
    await ApiKey.objects.filter(pk=key[0].pk).aupdate(
        is_active=False, revoked_at=timezone.now()
    )

    await sync_to_async(rows.release)(row.pk, "another")
    runner.look_soon()
    async with asyncio.timeout(60):
        while (await Batch.objects.aget(pk=row.pk)).is_open:
            await asyncio.sleep(0.05)

    failed = await Batch.objects.aget(pk=row.pk)
    assert failed.status == Batch.Status.FAILED
    assert failed.errors[0]["code"] == "key_revoked"
    assert engine.requests == []


async def test_another_process_goes_on_and_no_line_has_two_results(
    api: Api,
    engine: FakeEngineClient,
    configure: Callable[..., None],
    runner: BatchRunner,
) -> None:
    configure(batches__in_flight=1)
    engine.enqueue(begun(), [tokens("A"), finished()])
    engine.enqueue(begun(), [tokens("Hel")])
    batch = await create(api, *[line(f"n{n}") for n in range(4)])
    await engine.has_streams(2)
    row = await Batch.objects.aget(pk=batch["id"])

    # The process dies: its task ends, and half a line is on the disk.
    (task,) = runner._tasks.values()
    task.cancel()
    await asyncio.wait({task})
    with content_path(row.output_id).open("ab") as output:
        output.write(b'{"id": "batch_req_')
    runner.look_soon()
    done = await ended(api, batch["id"])

    assert done["request_counts"] == {"total": 4, "completed": 4, "failed": 0}
    found = await results(api, done["output_file_id"])
    assert set(found) == {"n0", "n1", "n2", "n3"}
    # The second line went on from the tokens that it had.
    assert len(engine.requests) == 5
    assert [len(each) for each in engine.so_far][2] > 0


async def test_nobody_else_gets_a_batch_that_is_claimed(api: Api) -> None:
    id_ = await upload(api, line())
    row = await sync_to_async(_claimed_elsewhere)(id_)

    def claims() -> None:
        assert rows.unclaimed(10) == []
        assert rows.claim(row.pk, "a third") is None
        assert rows.renew(row.pk, "a third", {}) == ""
        rows.release(row.pk, "another")
        assert rows.unclaimed(10) == [row.pk]
        assert rows.claim(row.pk, "a third") is not None

    await sync_to_async(claims)()


def _claimed_elsewhere(file_id: str) -> Batch:
    body = BatchRequest(
        input_file_id=file_id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
    )
    owner = ApiKey.objects.get()
    row = rows.batch_create(
        body, owner_id=owner.owner_id, key_id=owner.pk, client_address="127.0.0.1"
    )
    claimed = rows.claim(row.pk, "another")
    assert claimed is not None
    return claimed


async def test_batches_are_listed_by_pages_and_only_to_their_owner(api: Api) -> None:
    ids = [(await create(api, line()))["id"] for _ in range(3)]

    listed = (await api.get("/v1/batches?limit=2")).json()

    check("ListBatchesResponse", listed)
    assert [each["id"] for each in listed["data"]] == sorted(ids, reverse=True)[:2]
    assert listed["has_more"]
    assert (await api.get("/v1/batches/batch_nobody")).status_code == 404


async def test_a_batch_needs_a_file_for_batches(api: Api) -> None:
    body = {"endpoint": "/v1/audio/speech", "completion_window": "24h"}
    refused = await api.post("/v1/batches", {"input_file_id": "file-1", **body})

    assert refused.json()["error"]["param"] == "endpoint"
