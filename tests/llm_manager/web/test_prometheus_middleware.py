"""What django-prometheus counts, on /metrics beside the product's own metrics."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async
from django.core.cache import cache
from django.db import connection
from prometheus_client.parser import text_string_to_metric_families

from accounts.models import ApiKey, Scope
from tests.factories import make_api_key
from tests.inference.api.conftest import Api, chat_body
from tests.llm_manager.web.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Callable

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def scrape(api: Api) -> Samples:
    """Return every sample of GET /metrics by its name and labels."""
    answer = await Connection("/metrics", secret=api.secret).answer()
    assert answer.status == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


@pytest.fixture
def grown(admin_api: Api) -> Callable[..., Any]:
    """Return a function that runs a request and reports what has grown by it.

    It returns another function, of a metric's name and labels.
    """

    async def measure(request: Connection) -> Callable[..., float]:
        before = await scrape(admin_api)
        await request.answer()
        after = await scrape(admin_api)

        def difference(name: str, **labels: str) -> float:
            key = (name, frozenset(labels.items()))
            return after.get(key, 0) - before.get(key, 0)

        return difference

    return measure


async def test_a_request_of_the_api_is_counted_and_timed_by_its_route(
    admin_api: Api, grown: Callable[..., Any]
) -> None:
    by = await grown(
        Connection(
            "/v1/chat/completions",
            method="POST",
            secret=admin_api.secret,
            body=json.dumps(chat_body()).encode(),
        )
    )

    view = {"view": "chat-completions", "method": "POST"}
    assert by("django_http_requests_total_by_method_total", method="POST") == 1
    assert (
        by(
            "django_http_requests_total_by_view_transport_method_total",
            **view,
            transport="http",
        )
        == 1
    )
    assert (
        by(
            "django_http_responses_total_by_status_view_method_total",
            **view,
            status="200",
        )
        == 1
    )
    assert by("django_http_requests_latency_seconds_by_view_method_count", **view) == 1
    # The scrape before is counted with its answer, after what it reports.
    assert by("django_http_requests_before_middlewares_total") == 2
    assert by("llm_requests_total", model="tiny", status="200") == 1


async def test_a_page_is_counted_too(grown: Callable[..., Any]) -> None:
    by = await grown(Connection("/admin/login/"))

    view = {"view": "admin:login", "method": "GET"}
    assert by("django_http_requests_latency_seconds_by_view_method_count", **view) == 1


async def test_statements_of_the_database_are_counted_and_timed(
    admin_api: Api,
) -> None:
    before = await scrape(admin_api)
    await sync_to_async(ApiKey.objects.count)()
    after = await scrape(admin_api)

    labels = frozenset({("alias", "default"), ("vendor", connection.vendor)})
    for name in ("django_db_execute_total", "django_db_query_duration_seconds_count"):
        # One is the count; the second scrape may read its key, the key's models and its
        # limits again.
        assert 1 <= after[name, labels] - before[name, labels] <= 4


async def test_rows_of_keys_are_counted(admin_api: Api) -> None:
    before = await scrape(admin_api)
    await sync_to_async(make_api_key)()
    after = await scrape(admin_api)

    name = ("django_model_inserts_total", frozenset({("model", "api_key")}))
    assert after[name] - before[name] == 1


async def test_keys_of_the_cache_are_counted(
    admin_api: Api,
) -> None:
    def work() -> None:
        cache.set("a", 1)
        assert cache.get("a") == 1
        assert cache.get("b", 2) == 2
        assert cache.get_many(["a", "b"]) == {"a": 1}

    before = await scrape(admin_api)
    await sync_to_async(work)()
    after = await scrape(admin_api)

    backend = frozenset({("backend", "native_redis")})

    def difference(name: str) -> float:
        return after[name, backend] - before.get((name, backend), 0)

    assert difference("django_cache_get_total") == 4
    assert difference("django_cache_get_hits_total") == 2
    assert difference("django_cache_get_misses_total") == 2


async def test_a_method_that_a_client_makes_up_is_no_label(admin_api: Api) -> None:
    for path in ("/v1/nothing", "/nowhere"):
        await Connection(path, method="MADEUP").answer()

    samples = await scrape(admin_api)

    assert not any("MADEUP" in value for _, labels in samples for _, value in labels)


async def test_a_key_without_the_scope_gets_no_metrics(model: Any) -> None:
    _, secret = await sync_to_async(make_api_key)(scopes=[Scope.INFERENCE])

    assert (await Connection("/metrics", secret=secret).answer()).status == 403
    assert (await Connection("/metrics").answer()).status == 401
