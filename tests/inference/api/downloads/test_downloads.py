"""POST /v1/models and /v1/downloads: getting models over the API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync
from auditlog.models import LogEntry

from accounts.audit.export import as_object
from accounts.models import Scope
from inference.api.downloads.events import download_events
from inference.download_fit import fitting
from registry.models import Download
from tests.factories import GIB, make_api_key, make_model, make_node
from tests.hub_fixtures import REPO, make_download
from tests.inference.api.conftest import Api

if TYPE_CHECKING:
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
    events = download_events(download.pk)
    first = _object(await anext(events))
    assert (first["state"], first["seconds_left"]) == ("running", 10)
    await Download.objects.aupdate(bytes_done=50)
    assert _object(await anext(events))["progress"] == 0.5
    await Download.objects.aupdate(state=State.FAILED, error="'/srv/m/a.gguf': no.")
    last = _object(await anext(events))
    assert (last["state"], last["error"]) == ("failed", "'a.gguf': no.")
    assert [each async for each in events] == [b"data: [DONE]\n\n"]


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
