"""/v1/files: uploads, and what becomes of them."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async
from django.db import transaction
from django.test import AsyncRequestFactory
from django.utils import timezone

from accounts.errors import StorageFull
from accounts.files.folder import (
    all_contents,
    folder,
    upload_bytes,
    upload_path,
    uploads,
)
from accounts.files.pruning import files_prune
from accounts.files.services import file_add, file_delete
from accounts.models import Scope, StoredFile
from inference.api.body.incoming_body import IncomingBody
from inference.api.files.upload import Upload
from tests.factories import make_api_key, make_user
from tests.inference.api.batches.helpers import (
    content,
    create,
    line,
    multipart,
    send_parts,
    send_upload,
    upload,
)
from tests.inference.api.conftest import Api
from tests.openai_schema import check

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


async def stranger() -> Api:
    """Return the API, called by somebody else."""
    make = sync_to_async(make_api_key)
    owner = await sync_to_async(make_user)("sam")
    return Api((await make(owner=owner, scopes=[Scope.INFERENCE]))[1])


def names() -> list[str]:
    """Return the files on disk."""
    return sorted(each.name for each in all_contents())


async def test_a_file_is_uploaded_listed_read_and_deleted(api: Api) -> None:
    text = line("a") * 3000
    uploaded = (await send_upload(api, text)).json()
    path = f"/v1/files/{uploaded['id']}"

    check("OpenAIFile", uploaded)
    assert (uploaded["bytes"], uploaded["filename"]) == (len(text), "in.jsonl")
    assert (await api.get(path)).json() == uploaded
    listed = (await api.get("/v1/files?purpose=batch")).json()
    check("ListFilesResponse", listed)
    assert listed["data"] == [uploaded]
    assert await content(api, uploaded["id"]) == text
    assert names() == [uploaded["id"]]

    deleted = (await api.send("DELETE", path)).json()

    check("DeleteFileResponse", deleted)
    assert (await api.get(path)).status_code == 404
    assert names() == []


async def test_nobody_else_finds_a_file(api: Api) -> None:
    id_ = await upload(api, line())
    other = await stranger()

    assert (await other.get("/v1/files")).json()["data"] == []
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        answer = await other.send(method, f"/v1/files/{id_}{path}")
        assert answer.status_code == 404
    body = {
        "input_file_id": id_,
        "endpoint": "/v1/completions",
        "completion_window": "24h",
    }
    refused = await other.post("/v1/batches", body)
    assert (refused.status_code, refused.json()["error"]["param"]) == (
        404,
        "input_file_id",
    )


async def test_a_list_has_pages(api: Api) -> None:
    ids = [await upload(api, line(str(n))) for n in range(3)]

    first = (await api.get("/v1/files?limit=2&order=asc")).json()
    rest = (await api.get(f"/v1/files?order=asc&after={first['last_id']}")).json()

    assert first["has_more"]
    assert sorted(ids) == [each["id"] for each in first["data"] + rest["data"]]
    assert (await api.get("/v1/files?limit=0")).json()["error"]["param"] == "limit"
    unknown = (await api.get("/v1/files?colour=red")).json()["error"]
    assert unknown["code"] == "unknown_parameter"


@pytest.mark.parametrize(
    ("parts", "param"),
    [
        ([("file", "a", b"x")], "purpose"),
        ([("file", "a", b"x"), ("purpose", None, b"vision")], "purpose"),
        ([("purpose", None, b"batch")], "file"),
        ([("file", "a", b""), ("purpose", None, b"batch")], "file"),
        ([("file", "a", b"x"), ("file", "b", b"x")], "file"),
        ([("image", "a", b"x"), ("purpose", None, b"batch")], "file"),
        ([("file", "a", b"x"), ("colour", None, b"red")], "colour"),
        (
            [
                ("file", "a", b"x"),
                ("purpose", None, b"batch"),
                ("expires_after[anchor]", None, b"created_at"),
                ("expires_after[seconds]", None, b"5"),
            ],
            "expires_after[seconds]",
        ),
    ],
)
async def test_an_upload_that_is_wrong_is_refused_and_leaves_nothing(
    api: Api, parts: Any, param: str
) -> None:
    refused = await send_parts(api, multipart(parts))

    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)
    assert names() == []


async def test_what_is_no_form_is_refused(api: Api) -> None:
    assert (await api.post("/v1/files", {"file": "x"})).status_code == 415
    assert (await send_parts(api, b"nonsense")).status_code == 400
    assert names() == []


async def test_no_file_and_no_owner_is_larger_than_allowed(
    api: Api, configure: Callable[..., None]
) -> None:
    configure(files__max_mb=1)
    large = await send_upload(api, b"x" * (1024 * 1024 + 1))
    assert (large.status_code, large.json()["error"]["code"]) == (
        413,
        "request_too_large",
    )

    configure(files__quota_mb=1)
    first = await send_upload(api, b"x" * 800_000)
    second = await send_upload(api, b"x" * 800_000)

    assert first.status_code == 200
    assert (second.status_code, second.json()["error"]["code"]) == (400, "storage_full")
    assert names() == [first.json()["id"]]


async def test_the_input_of_a_batch_that_runs_stays(api: Api) -> None:
    batch = await create(api, line())

    refused = await api.send("DELETE", f"/v1/files/{batch['input_file_id']}")

    assert (refused.status_code, refused.json()["error"]["code"]) == (
        409,
        "file_in_use",
    )


async def test_files_that_have_expired_and_lost_uploads_are_deleted(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However many files are kept: the lost one may be listed after all of them.
    monkeypatch.setattr("accounts.files.pruning.BATCH", 1)
    kept, old = await upload(api, line("kept")), await upload(api, line("old"))
    used = (await create(api, line("used")))["input_file_id"]
    expired = StoredFile.objects.filter(pk__in=[old, used])
    await expired.aupdate(expires_at=timezone.now() - timedelta(seconds=1))
    lost = [uploads() / f"{name}-0-lost" for name in "12"]
    lost += [folder() / "z-lost", folder() / "0-lost"]
    for path in lost:
        path.touch()
    also_kept = [await upload(api, line(f"kept {n}")) for n in range(3)]
    before = time.time() - 30 * 86_400
    for path in (*lost, *(folder() / id_ for id_ in (kept, *also_kept))):
        os.utime(path, (before, before))

    while await sync_to_async(files_prune)():
        pass

    assert names() == sorted([kept, used, *also_kept])
    assert (await api.get(f"/v1/files/{old}")).status_code == 404


async def test_a_file_may_expire_earlier_but_no_later_than_the_server_says(
    api: Api,
) -> None:
    hour = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    file = (await send_upload(api, line(), **hour)).json()

    assert file["expires_at"] - file["created_at"] in (3599, 3600, 3601)


async def test_uploads_that_are_on_their_way_take_of_the_quota(
    api: Api, configure: Callable[..., None]
) -> None:
    configure(files__quota_mb=1)
    mine = await StoredFile.objects.aget(pk=await upload(api, line()))
    owner_id = mine.owner_id
    # Another process has begun to write one, and one of an unknown length.
    upload_path(owner_id, 500_000).touch()
    upload_path(owner_id).write_bytes(bytes(300_000))

    refused = await send_upload(api, b"x" * 400_000)

    assert refused.json()["error"]["code"] == "storage_full"
    assert (await send_upload(api, b"x" * 200_000)).status_code == 200
    other = await stranger()
    assert (await send_upload(other, b"x" * 400_000)).status_code == 200


async def test_an_upload_counts_once_while_it_is_stored(
    api: Api, configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(files__quota_mb=1)
    counted = []

    def add(content: Path, **columns: Any) -> StoredFile:
        # Its body was read: what it has counts by its row.
        counted.append(upload_bytes(columns["owner_id"]))
        row = file_add(content, **columns)
        counted.append(upload_bytes(columns["owner_id"]))
        return row

    def parse(upload: Upload) -> Any:
        parsed = parse_as_ever(upload)
        counted.append(upload_bytes(upload.owner_id))
        return parsed

    parse_as_ever = Upload._parse
    monkeypatch.setattr(Upload, "_parse", parse)
    monkeypatch.setattr("inference.api.files.upload.file_add", add)

    assert (await send_upload(api, b"x" * 400_000)).status_code == 200

    while_parsed, *stored = counted
    assert 400_000 <= while_parsed < 500_000
    assert stored == [0, 0]


async def test_an_upload_of_unknown_length_ends_where_the_quota_does(
    api: Api, configure: Callable[..., None]
) -> None:
    configure(files__quota_mb=1)
    request = AsyncRequestFactory().post("/v1/files")

    owner_id = (await sync_to_async(make_user)("eve")).pk
    received: list[int] = []

    async def receive() -> dict[str, Any]:
        received.append(1)
        return {"type": "http.request", "body": bytes(512 * 1024), "more_body": True}

    unending = Upload(request.META, owner_id, 0)
    with pytest.raises(StorageFull):
        await unending.receive(IncomingBody(receive))
    assert len(received) <= 4
    unending.discard()
    assert names() == []


@pytest.mark.django_db(transaction=True)
def test_the_content_is_there_until_the_deletion_is_certain() -> None:
    owner = make_user("eve")
    path = upload_path(owner.pk)
    path.write_bytes(b"x")
    row = file_add(path, owner_id=owner.pk, filename="f", purpose="batch")

    with suppress(LookupError), transaction.atomic():
        file_delete(StoredFile.objects.get(pk=row.pk))
        raise LookupError

    assert names() == [row.pk]
    file_delete(row)
    assert names() == []
