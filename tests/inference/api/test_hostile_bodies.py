"""Thousands of bodies that are wrong: each is refused, and the error says why."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from inference.api.worker_view import WorkerView
from tests.factories import make_node, make_worker
from tests.hostile_bodies import check_refusal, hostile_bodies, odd_bodies
from tests.inference.api.workers import FakeWorkerClient
from tests.request_schemas import OTHER_REQUESTS, REQUESTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import Model
    from tests.fakes import FakeEngineClient
    from tests.inference.api.conftest import Api


@pytest.fixture(autouse=True)
def _few_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "llm_manager.access")


@pytest.fixture(autouse=True)
def _all_routes(configure: Callable[..., None]) -> None:
    configure(api__ollama=True)


@pytest.mark.long
async def test_every_hostile_body_is_refused_in_openais_shape(
    api: Api, engine: FakeEngineClient
) -> None:
    count = 0
    for hostile in hostile_bodies("tiny"):
        response = await api.client.generic(
            *("POST", hostile.path, hostile.body),
            content_type=hostile.content_type,
            headers=api.headers(),
        )
        check_refusal(hostile, response.status_code, response.content)
        count += 1

    assert count > 5000
    assert engine.requests == []


@pytest.mark.long
@pytest.mark.parametrize(
    "routes",
    [pytest.param(REQUESTS, id="OpenAI's"), pytest.param(OTHER_REQUESTS, id="others")],
)
async def test_a_body_that_makes_no_sense_is_no_server_error(
    api: Api, model: Model, monkeypatch: pytest.MonkeyPatch, routes: dict[str, str]
) -> None:
    # The node's heartbeat must outlast the test.
    beat = timezone.now() + timedelta(days=1)
    await sync_to_async(lambda: make_worker(model, make_node(heartbeat_at=beat)))()
    worker = FakeWorkerClient()
    monkeypatch.setattr(WorkerView, "get_client", lambda view: worker)
    statuses = set()
    for path, body in odd_bodies("tiny", routes):
        response = await api.post(path, body)
        assert response.status_code < 500, f"{path} {body[:500]!r}"
        statuses.add(response.status_code)

    assert statuses == {200, 400, 404}
