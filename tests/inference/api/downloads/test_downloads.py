"""POST /v1/models and /v1/downloads: getting models over the API."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync
from auditlog.models import LogEntry
from django.db import OperationalError

from accounts.audit.export import as_object
from accounts.models import Scope
from inference.api.downloads import events as download_events
from inference.api.downloads.events import DownloadFollowers
from inference.api.errors import ServerBusy
from inference.download_fit import fitting
from registry.models import Download
from tests.factories import GIB, make_api_key, make_model, make_node
from tests.hub_fixtures import REPO, make_download
from tests.inference.api.conftest import Api

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.registry.hub.hub_server import FakeHub

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("models_dir"),
]

State = Download.State


def test_a_model_is_requested_and_described(
    models_api: Api, tiny_repo: dict[str, bytes]
) -> None:
    post, get = async_to_sync(models_api.post), async_to_sync(models_api.get)
    answer = post("/v1/models", {"model": f"{REPO}:q8_0"})
    assert answer.status_code == 202
    found = answer.json()
    sizes = [len(tiny_repo[n]) for n in ("tiny-Q8_0.gguf", "mmproj-tiny-F16.gguf")]
    assert found == {
        "id": found["id"],
        "object": "download",
        "source": "org/tiny:tiny-Q8_0.gguf",
        "state": "requested",
        "progress": 0.0,
        "bytes_done": 0,
        "bytes_total": sum(sizes),
        "speed": 0.0,
        "seconds_left": None,
        "error": None,
        "models": [],
        "files": [
            {"path": f"org/tiny/{name}", "size_bytes": size, "sha256": sha256}
            for (name, size), sha256 in zip(
                [("tiny-Q8_0.gguf", sizes[0]), ("mmproj-tiny-F16.gguf", sizes[1])],
                [each["sha256"] for each in Download.objects.get().wanted()],
                strict=True,
            )
        ],
        "requested_by": "ada",
        "created": found["created"],
        "finished": None,
    }
    # The same once more is the same download.
    again = post("/v1/models", {"model": f"{REPO}:Q8_0"})
    assert (again.status_code, again.json()["id"]) == (200, found["id"])
    assert get(f"/v1/downloads/{found['id']}").json() == found
    listed = get("/v1/downloads").json()
    assert (listed["data"], listed["has_more"]) == ([found], False)
    entry = as_object(LogEntry.objects.get(content_type__model="download"))
    assert (entry["by"], entry["event"]) == ("ada", "created")
    assert entry["via"].startswith("API /v1/models")


@pytest.mark.usefixtures("tiny_repo")
def test_a_repository_is_listed_with_sizes_and_what_fits(models_api: Api) -> None:
    make_node(memory_limit=GIB)
    path = f"/v1/downloads/offer?model={REPO}"
    found = async_to_sync(models_api.get)(path).json()
    assert [each["model"] for each in found["data"]] == [
        f"{REPO}:tiny-Q4_K_M.gguf",
        f"{REPO}:tiny-Q8_0.gguf",
    ]
    first = found["data"][0]
    assert first["projector"] == "mmproj-tiny-F16.gguf"
    assert first["fit"] == "fits"
    assert first["size_bytes"] > 2 * 1024 * 1024


@pytest.mark.usefixtures("tiny_repo")
@pytest.mark.parametrize(
    ("model", "status", "said"),
    [
        ("nonsense", 400, "is no model of a hub"),
        ("org/nothing", 404, "has no repository"),
        (f"{REPO}:Q9", 404, "it has: Q4_K_M, Q8_0"),
        ("https://x.test/a.gguf?sig=1", 400, "may be a secret"),
        ("https://x.test/a.zip", 400, "is not downloaded"),
    ],
)
def test_what_cannot_be_got_is_refused(
    models_api: Api, model: str, status: int, said: str
) -> None:
    answer = async_to_sync(models_api.post)("/v1/models", {"model": model})
    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]
    assert not Download.objects.exists()


def test_a_hub_that_is_away_is_a_bad_gateway(
    models_api: Api, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    answer = async_to_sync(models_api.post)("/v1/models", {"model": REPO})
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "broken_connection"


def test_keys_without_the_scope_and_restricted_ones_get_nothing() -> None:
    inference = Api(make_api_key(scopes=[Scope.INFERENCE])[1])
    scopes = [Scope.INFERENCE, Scope.MODELS]
    restricted = Api(make_api_key(models=[make_model("tiny")], scopes=scopes)[1])
    download = make_download()
    for api in (inference, restricted):
        for path, body in (
            ("/v1/models", {"model": REPO}),
            (f"/v1/downloads/{download.pk}/cancel", {}),
            (f"/v1/downloads/{download.pk}/retry", {}),
        ):
            answer = async_to_sync(api.post)(path, body)
            assert answer.status_code == 403, path
        for path in (
            "/v1/downloads",
            f"/v1/downloads/offer?model={REPO}",
            f"/v1/downloads/{download.pk}",
            f"/v1/downloads/{download.pk}/events",
        ):
            assert async_to_sync(api.get)(path).status_code == 403, path
        answer = async_to_sync(api.send)("DELETE", "/v1/models/tiny")
        assert answer.status_code in (403, 404)
    download.refresh_from_db()
    assert download.state == State.REQUESTED


def test_a_download_is_cancelled_and_tried_again(models_api: Api) -> None:
    path = f"/v1/downloads/{make_download().pk}"
    post = async_to_sync(models_api.post)
    cancelled = post(f"{path}/cancel", {}).json()
    assert (cancelled["state"], cancelled["error"]) == (
        "cancelled",
        "Cancelled by ada.",
    )
    assert post(f"{path}/retry", {}).json()["state"] == "requested"
    assert post("/v1/downloads/999/cancel", {}).status_code == 404


async def test_the_progress_comes_as_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each event is the object as it is then; the last one has ended."""
    from asgiref.sync import sync_to_async

    download = await sync_to_async(make_download)(state=State.RUNNING, speed=10.0)
    events = DownloadFollowers(look_every_s=0.02).events(download)
    first = _object(await anext(events))
    assert (first["state"], first["seconds_left"]) == ("running", 10)
    await Download.objects.aupdate(bytes_done=50)
    assert _object(await anext(events))["progress"] == 0.5
    await Download.objects.aupdate(state=State.FAILED, error="'/srv/m/a.gguf': no.")
    last = _object(await anext(events))
    assert (last["state"], last["error"]) == ("failed", "'a.gguf': no.")
    assert [each async for each in events] == [b"data: [DONE]\n\n"]


class Reader:
    """Reads rows that the test sets; each look waits for ``step``."""

    def __init__(self, *rows: Download) -> None:
        self.rows = {row.pk: row for row in rows}
        self.asked: list[list[int]] = []
        self.step = asyncio.Semaphore(0)

    async def __call__(self, numbers: Sequence[int]) -> dict[int, Download]:
        await self.step.acquire()
        self.asked.append(sorted(numbers))
        return {number: self.rows[number] for number in numbers if number in self.rows}


async def test_however_many_follow_the_rows_are_read_once() -> None:
    first, second = (Download(pk=pk, state=State.RUNNING) for pk in (1, 2))
    read = Reader(first, second)
    followers = DownloadFollowers(read=read, look_every_s=0)
    streams = [followers.events(row) for row in [first] * 20 + [second] * 20]
    for stream in streams:
        assert _object(await anext(stream))["bytes_done"] == 0
    read.rows = {
        pk: Download(pk=pk, state=State.RUNNING, bytes_done=50) for pk in (1, 2)
    }
    read.step.release()
    for stream in streams:
        assert _object(await anext(stream))["bytes_done"] == 50
    assert read.asked == [[1, 2]]
    # A row that is deleted ends its followers' streams.
    read.rows = {}
    read.step.release()
    for stream in streams:
        assert [each async for each in stream] == [b"data: [DONE]\n\n"]
    assert read.asked == [[1, 2], [1, 2]]
    assert followers._reader is None


async def test_a_follower_more_than_there_may_be_is_refused() -> None:
    row = Download(pk=1, state=State.RUNNING)
    followers = DownloadFollowers(read=Reader(row), most=2)
    streams = [followers.events(row) for _ in range(2)]
    for stream in streams:
        await anext(stream)
    with pytest.raises(ServerBusy, match="2 clients follow"):
        followers.check_room()
    with pytest.raises(ServerBusy):
        await anext(followers.events(row))
    for stream in streams:
        await stream.aclose()
    followers.check_room()


async def test_a_database_that_fails_ends_all_streams_and_no_later_one() -> None:
    row = Download(pk=1, state=State.RUNNING)
    is_away = True

    async def read(_numbers: Sequence[int]) -> dict[int, Download]:
        if is_away:
            raise OperationalError("away")
        return {1: Download(pk=1, state=State.DONE)}

    followers = DownloadFollowers(read=read, look_every_s=0)
    streams = [followers.events(row) for _ in range(2)]
    for stream in streams:
        await anext(stream)
    for stream in streams:
        with pytest.raises(OperationalError):
            await anext(stream)
    is_away = False
    found = [each async for each in followers.events(row)]
    assert _object(found[1])["state"] == "done"


def test_one_who_cannot_follow_gets_no_download_begun(
    models_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download_events.followers, "_most", 0)
    post, get = async_to_sync(models_api.post), async_to_sync(models_api.get)
    assert post("/v1/models", {"model": REPO, "stream": True}).status_code == 503
    assert not Download.objects.exists()
    assert get(f"/v1/downloads/{make_download().pk}/events").status_code == 503


@pytest.mark.usefixtures("tiny_repo")
def test_a_streamed_request_answers_with_its_progress(models_api: Api) -> None:
    async def run() -> list[Any]:
        answer = await models_api.post("/v1/models", {"model": REPO, "stream": True})
        assert answer["Content-Type"].startswith("text/event-stream")
        found = []
        async for event in answer.streaming_content:
            if b"[DONE]" in event:
                break
            found.append(_object(event))
            await Download.objects.aupdate(state=State.DONE, became=["tiny"])
        return found

    states = [each["state"] for each in async_to_sync(run)()]
    assert states == ["requested", "done"]


def test_the_list_goes_on_after_a_page(models_api: Api) -> None:
    numbers = [make_download().pk for _ in range(3)]
    get = async_to_sync(models_api.get)
    first = get("/v1/downloads?limit=2").json()
    assert [each["id"] for each in first["data"]] == numbers[:0:-1]
    assert first["has_more"]
    rest = get(f"/v1/downloads?limit=2&after={numbers[1]}").json()
    assert [each["id"] for each in rest["data"]] == numbers[:1]
    assert get("/v1/downloads?after=x").status_code == 400


@pytest.mark.parametrize(
    ("size", "limits", "found"),
    [
        (10, (100, 20), "gpu"),
        (10, (100,), "fits"),
        (80, (100,), "tight"),
        (95, (100,), "too_large"),
        (10, (), "unknown"),
        (None, (100,), "unknown"),
    ],
)
def test_the_size_says_what_fits(
    size: int | None, limits: tuple[int, ...], found: str
) -> None:
    assert fitting(size, limits) == found


def _object(event: bytes) -> Any:
    return json.loads(event.removeprefix(b"data: "))
