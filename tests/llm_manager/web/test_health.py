"""/health, /health/detailed and /metrics."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.db import OperationalError
from prometheus_client.parser import text_string_to_metric_families
from redis.exceptions import ConnectionError as RedisConnectionError

from accounts.models import ApiKey
from inference.health import redis_facts
from inference.models import RpcServer, WorkerState
from llm_manager.lib.machine.programs import product_version
from tests.configuration import changed
from tests.factories import make_model, make_node, make_worker
from tests.fakes import begun, finished, tokens
from tests.inference.api.conftest import Api, read_stream

if TYPE_CHECKING:
    import pytest

    from registry.models import Model
    from tests.fakes import FakeEngineClient


async def test_health_is_open_and_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    # No database in this test: pytest-django would refuse the query.
    response = await Api(None).get("/health")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})


async def test_detailed_health_reports_every_part(admin_api: Api, model: Model) -> None:
    def work() -> None:
        node = make_node(version=product_version())
        make_worker(model, node, running=2, waiting=1, kv_cells_total=4096)

    await sync_to_async(work)()

    response = await admin_api.get("/health/detailed")

    body = response.json()
    assert (response.status_code, body["status"]) == (200, "ok")
    for part in ("database", "redis", "engine"):
        assert (body[part]["status"], body[part]["error"]) == ("ok", None)
    assert body["nodes"][0]["name"] == "node-1"
    assert body["workers"] == [
        {
            "model": "tiny",
            "replica": 0,
            "node": "node-1",
            "state": "ready",
            "error": None,
            "running": 2,
            "waiting": 1,
            "kv_cells_used": 0,
            "kv_cells_total": 4096,
            "memory_bytes": 0,
            "n_ctx": None,
            "keep_alive_s": None,
            "unload_at": None,
        }
    ]
    assert body["queues"] == {"tiny": 0}
    # Other tests of this process may have lost lines of usage.
    assert [each for each in body["problems"] if each["part"] != "Usage"] == []
    assert body["versions"]["Django"]
    assert [disk["name"] for disk in body["disks"]] == ["data"]


async def test_rpc_servers_are_reported_and_measured(
    admin_api: Api, settings: Any
) -> None:
    settings.CONFIG = changed(
        settings.CONFIG, rpc__servers=("b:1", "c:1"), rpc__secret="x" * 32
    )

    def work() -> None:
        node = make_node("n1", version=product_version())
        lent = {"name": "CPU", "description": "EPYC", "total": 2**34, "free": 2**33}
        RpcServer.objects.create(node=node, address="b:1", devices=[lent])
        RpcServer.objects.create(node=node, address="c:1", error="It is away.")

    await sync_to_async(work)()
    health = (await admin_api.get("/health/detailed")).json()
    assert health["rpc_servers"] == [
        {
            "address": "b:1",
            "node": "n1",
            "status": "ok",
            "error": None,
            "holder": None,
            "offered_bytes": 2**33,
        },
        {
            "address": "c:1",
            "node": "n1",
            "status": "failed",
            "error": "It is away.",
            "holder": None,
            "offered_bytes": 0,
        },
    ]
    parts = [each["part"] for each in health["problems"]]
    assert [part for part in parts if "RPC" in part] == ["RPC server c:1"]
    page = (await admin_api.get("/metrics")).content.decode()
    assert 'llm_rpc_server_up{node="n1",server="b:1"} 1.0' in page
    assert 'llm_rpc_server_up{node="n1",server="c:1"} 0.0' in page
    assert 'llm_rpc_server_offered_bytes{node="n1",server="b:1"} 8.58' in page


async def test_without_an_engine_it_is_503(admin_api: Api) -> None:
    response = await admin_api.get("/health/detailed")

    body = response.json()
    assert (response.status_code, body["status"]) == (503, "unavailable")
    assert body["engine"]["error"] == "No engine is running."
    assert body["database"]["status"] == body["redis"]["status"] == "ok"


async def test_without_redis_it_is_503(
    admin_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise RedisConnectionError("connection refused")

    monkeypatch.setattr(redis_facts, "_ask", fail)
    await sync_to_async(make_node)()

    response = await admin_api.get("/health/detailed")

    body = response.json()
    assert response.status_code == 503
    assert body["redis"]["error"] == "connection refused"
    problem = body["problems"][0]
    assert (problem["severity"], problem["part"]) == ("danger", "Redis")
    assert "connection refused" in problem["text"]
    assert "redis.url" in problem["advice"]
    assert body["engine"]["status"] == "ok"


async def test_without_the_database_every_route_is_503_in_json(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OperationalError("secret dsn")

    monkeypatch.setattr(ApiKey.objects, "select_related", fail)

    response = await api.get("/v1/models")

    assert (response.status_code, response["retry-after"]) == (503, "5")
    assert response.json()["error"]["code"] == "database_unavailable"
    assert "secret" not in response.content.decode()


# Metrics -----------------------------------------------------------------------


async def scrape(api: Api) -> dict[tuple[str, tuple[str, ...]], float]:
    """Return every sample by its name and label values."""
    response = await api.get("/metrics")
    assert response.status_code == 200
    assert response["content-type"].startswith("text/plain")
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(response.content.decode())
        for sample in family.samples
    }


async def test_requests_and_tokens_are_counted_by_model(
    admin_api: Api, engine: FakeEngineClient
) -> None:
    before = await scrape(admin_api)
    for _ in range(2):
        # The third token comes with the end and not by itself.
        last = finished("length", "c", completion=3)
        engine.enqueue([*begun(5), tokens("ab", 2)], [last])
    await admin_api.chat(n=2)
    await read_stream(await admin_api.chat(stream=True))
    await admin_api.chat(temperature=9)
    await admin_api.chat(model="made-up-by-a-client")
    engine.enqueue(begun(), RuntimeError("x"))
    await read_stream(await admin_api.chat(stream=True))
    after = await scrape(admin_api)

    def grown(name: str, *labels: str) -> float:
        return after.get((name, labels), 0) - before.get((name, labels), 0)

    assert grown("llm_requests_total", "tiny", "200") == 2
    assert grown("llm_requests_total", "tiny", "500") == 1
    assert grown("llm_requests_total", "none", "400") == 1
    assert grown("llm_requests_total", "none", "404") == 1
    assert grown("llm_tokens_input_total", "tiny") == 15
    assert grown("llm_tokens_output_total", "tiny") == 8
    assert grown("llm_request_duration_seconds_count", "tiny") == 3
    assert grown("llm_time_to_first_token_seconds_count", "tiny") == 2
    assert not any("made-up" in str(key) for key in after)


async def test_gauges_are_read_from_the_workers(admin_api: Api, model: Model) -> None:
    def work() -> None:
        node = make_node()
        make_worker(
            *(model, node),
            load_seconds=1.5,
            n_ctx=4096,
            running=3,
            kv_cells_used=10,
            kv_cells_total=8192,
        )
        make_worker(model, node, replica=1, state=WorkerState.LOADING)
        make_worker(make_model("odd", kv_elements_per_token=None), node)

    await sync_to_async(work)()

    samples = await scrape(admin_api)

    assert samples["llm_active_models", ()] == 2
    assert ("llm_context_size_bytes", ("odd", "0")) not in samples
    assert samples["llm_model_load_duration_seconds", ("tiny", "0")] == 1.5
    # 65,536 elements of 2 bytes for each of 8,192 cells.
    assert samples["llm_context_size_bytes", ("tiny", "0")] == 2**30
    assert samples["llm_requests_running", ("tiny", "0")] == 3
    assert samples["llm_kv_cells_used", ("tiny", "0")] == 10
    assert ("llm_requests_running", ("tiny", "1")) not in samples


async def test_several_web_processes_are_added_up(
    admin_api: Api, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def count_in_another_process() -> None:
        program = """
import django
django.setup()
from django_prometheus.middleware import Metrics
from inference.metrics.request_metrics import REQUESTS
REQUESTS.labels("tiny", "200").inc(3)
Metrics.get_instance().requests_by_method.labels("POST").inc(2)
"""
        subprocess.run([sys.executable, "-c", program], check=True)

    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "llm_manager.settings")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    for _ in range(2):
        await sync_to_async(count_in_another_process)()

    samples = await scrape(admin_api)

    assert samples["llm_requests_total", ("tiny", "200")] == 6
    assert samples["django_http_requests_total_by_method_total", ("POST",)] == 4
    assert samples["llm_active_models", ()] == 0
