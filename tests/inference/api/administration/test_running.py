"""What runs, for programs, and what the client of a cancelled request gets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async
from auditlog.models import LogEntry

from accounts.audit.export import as_object
from accounts.models import Scope
from inference.api.worker_view import WorkerView
from inference.transport.running import now as now_module
from tests.factories import make_api_key, make_user
from tests.inference.api.conftest import Api, events_of, read_stream
from tests.inference.world import GatedBackend

if TYPE_CHECKING:
    from accounts.models import ApiKey
    from registry.models import Model
    from tests.inference.world import Gate, World

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def callers(
    world: World,
    gate: Gate,
    model: Model,
    key: tuple[ApiKey, str],
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[Api, Api]:
    """A client whose one model writes as the gate lets it, and an administrator."""
    backend = GatedBackend(gate, n_seq_max=1)
    for letter in "ab":
        backend.script(letter, letter * 3000)
    world.model_id = model.pk
    world.start_worker(backend)
    monkeypatch.setattr(WorkerView, "get_client", lambda view: world.client)
    monkeypatch.setattr(now_module, "_ASK_EVERY_S", 0)
    owner = await sync_to_async(make_user)("root")
    _, secret = await sync_to_async(make_api_key)(owner, scopes=[Scope.ADMIN])
    return Api(key[1]), Api(secret)


async def listed(admin: Api, query: str = "") -> list[dict[str, Any]]:
    response = await admin.get(f"/v1/admin/requests{query}")
    assert response.status_code == 200, response.content
    answer = response.json()
    assert (answer["has_more"], answer["silent_processes"]) == (False, 0)
    found: list[dict[str, Any]] = answer["data"]
    return found


async def cancel(admin: Api, id_: str) -> Any:
    return await admin.post(f"/v1/admin/requests/{id_}/cancel")


async def writing(gate: Gate, admin: Api) -> dict[str, Any]:
    """Let the model take steps until the request writes; return it."""
    while True:
        gate.allow(1)
        found = await listed(admin, "?state=decodes")
        if found and found[0]["tokens_per_second"]:
            return found[0]
        await asyncio.sleep(0.01)


async def test_a_running_stream_is_listed_and_cancelled_with_a_word_to_its_client(
    callers: tuple[Api, Api], gate: Gate, key: tuple[ApiKey, str]
) -> None:
    client, admin = callers
    body = {"model": "tiny", "prompt": "a", "stream": True}
    gate.allow(1)
    response = await client.post("/v1/completions", body)
    reading = asyncio.create_task(read_stream(response))
    async with asyncio.timeout(20):
        request = await writing(gate, admin)
    assert request["key"] == key[0].prefix
    assert request["owner"] == key[0].owner.get_username()
    assert request["endpoint"] == "completions"
    assert request["model"] == "tiny"
    assert (request["place"], request["stream"], request["sequences"]) == (
        None,
        True,
        1,
    )
    assert request["prompt_tokens"] == 1
    assert request["completion_tokens"] > 0
    for other in ("model=other", "endpoint=rerank", "node=elsewhere"):
        assert await listed(admin, f"?{other}") == []
    here = await listed(admin, "?endpoint=completions")
    assert [each["id"] for each in here] == [request["id"]]

    assert (await cancel(admin, request["id"])).json() == {
        "id": request["id"],
        "cancelled": True,
    }
    *_, error, done = events_of(await reading)
    assert error == {
        "error": {
            "message": "The administrator 'root' cancelled this request.",
            "type": "cancelled_error",
            "param": None,
            "code": "request_cancelled",
        }
    }
    assert done == "[DONE]"
    assert await listed(admin) == []
    described = await sync_to_async(lambda: as_object(LogEntry.objects.latest("id")))()
    assert (described["event"], described["by"]) == ("cancelled", "root")
    assert (await cancel(admin, request["id"])).status_code == 404


async def test_a_whole_answer_that_waits_is_cancelled_with_a_status(
    callers: tuple[Api, Api], gate: Gate
) -> None:
    client, admin = callers
    body = {"model": "tiny", "prompt": "a"}
    first = asyncio.create_task(client.post("/v1/completions", body))
    async with asyncio.timeout(20):
        await writing(gate, admin)
        second = asyncio.create_task(
            client.post("/v1/completions", body | {"prompt": "b"})
        )
        while not (waiting := await listed(admin, "?state=waits")) or (
            # On its way from the queue to the worker it has none, or is counted twice.
            waiting[0]["place"] != 1
        ):
            await asyncio.sleep(0.01)
        await cancel(admin, waiting[0]["id"])
        response = await second
    assert response.status_code == 409
    assert response["x-should-retry"] == "false"
    assert response.json()["error"]["code"] == "request_cancelled"
    (other,) = await listed(admin)
    await cancel(admin, other["id"])
    assert (await first).status_code == 409


async def test_a_query_of_no_sense_is_refused(callers: tuple[Api, Api]) -> None:
    response = await callers[1].get("/v1/admin/requests?state=sleeps")
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "state"


async def test_nothing_runs_before_the_first_request(callers: tuple[Api, Api]) -> None:
    assert await listed(callers[1]) == []
