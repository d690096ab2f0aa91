"""What the workers measure, on the page that Prometheus reads."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from asgiref.sync import sync_to_async
from django.core.cache import cache
from django.utils import timezone
from django_prometheus.middleware import Metrics
from prometheus_client.core import REGISTRY
from prometheus_client.parser import text_string_to_metric_families
from redis.exceptions import ConnectionError as RedisConnectionError

from inference.engine.sequence import FinishReason
from inference.engine.telemetry import Telemetry
from inference.metrics import telemetry_store
from inference.metrics.compatible_metrics import COMPATIBLE_METRICS
from inference.metrics.prometheus_page import metrics_text
from inference.metrics.request_metrics import REQUEST_METRICS
from inference.metrics.worker_metrics import WORKER_METRICS
from inference.models import Worker, WorkerState
from inference.worker.node_pipe import report_from_line, report_to_line
from tests.configuration import changed
from tests.factories import make_model, make_node, make_worker
from tests.inference.engine.fakes import FakeBackend
from tests.inference.world import collect, until

if TYPE_CHECKING:
    from pytest_django import DjangoAssertNumQueries

    from tests.inference.world import World

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.django_db

#: Every metric of the dashboard that vLLM's own repository offers, and the labels
#: that it filters and groups by.
VLLM_DASHBOARD = (
    "vllm:e2e_request_latency_seconds_bucket",
    "vllm:e2e_request_latency_seconds_sum",
    "vllm:e2e_request_latency_seconds_count",
    "vllm:prompt_tokens_total",
    "vllm:generation_tokens_total",
    "vllm:inter_token_latency_seconds_bucket",
    "vllm:inter_token_latency_seconds_sum",
    "vllm:inter_token_latency_seconds_count",
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:time_to_first_token_seconds_bucket",
    "vllm:time_to_first_token_seconds_sum",
    "vllm:time_to_first_token_seconds_count",
    "vllm:kv_cache_usage_perc",
    "vllm:request_prompt_tokens_bucket",
    "vllm:request_generation_tokens_bucket",
    "vllm:request_success_total",
    "vllm:request_queue_time_seconds_sum",
    "vllm:request_prefill_time_seconds_sum",
    "vllm:request_decode_time_seconds_sum",
    "vllm:request_max_num_generation_tokens_sum",
)
#: Every metric of llama-server but the tokens accepted by their place in a draft.
LLAMA_SERVER = (
    "prompt_tokens_total",
    "prompt_tokens_cached_total",
    "prompt_seconds_total",
    "tokens_predicted_total",
    "tokens_predicted_seconds_total",
    "n_decode_total",
    "n_tokens_max",
    "spec_decode_num_draft_tokens_total",
    "spec_decode_num_accepted_tokens_total",
    "spec_decode_num_drafts_total",
    "prompt_tokens_seconds",
    "predicted_tokens_seconds",
    "requests_processing",
    "requests_deferred",
    "n_busy_slots_per_decode",
)

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape() -> Samples:
    """Return every sample by its name and labels, each of which is there once."""
    samples: Samples = {}
    for family in text_string_to_metric_families(metrics_text().decode()):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in samples, f"{key} twice"
            samples[key] = sample.value
    return samples


def value(samples: Samples, name: str, **labels: str) -> float:
    """Return one sample, of the worker of ``tiny`` unless labels name another."""
    theirs = {"model_name": "tiny", "engine": "0"}
    ours = {"model": "tiny", "replica": "0"}
    own = theirs if name.startswith("vllm:") else ours
    return samples[name, frozenset({**own, **labels}.items())]


def names(samples: Samples) -> set[str]:
    return {name for name, _ in samples}


def measured() -> Telemetry:
    """Return what an engine has measured that has done a little of everything."""
    telemetry = Telemetry(n_ctx=512, n_ctx_max=4096)
    telemetry.step(seconds=0.5, num_decodes=0, num_prefill=1, batch_tokens=6)
    telemetry.step(seconds=0.1, num_decodes=1, num_prefill=0, batch_tokens=1)
    telemetry.started(queued_s=0.2, prompt_tokens=10, cached_tokens=4)
    telemetry.first_token(ttft_s=0.7, prefill_s=0.5)
    telemetry.token_gap(0.25)
    telemetry.finished(
        reason=FinishReason.ABORTED,
        e2e_s=1.0,
        decode_s=0.25,
        prompt_tokens=10,
        output_tokens=2,
        max_tokens=64,
    )
    telemetry.prefix_lookup(queried=10, hit=4)
    telemetry.preempted()
    telemetry.evicted(7)
    telemetry.drafted(5, 3)
    return telemetry


@pytest.fixture(autouse=True)
def _no_telemetry() -> None:
    cache.clear()


@pytest.fixture
def worker() -> Worker:
    """A worker of ``tiny`` that has reported."""
    worker = make_worker(
        make_model("tiny"),
        make_node(),
        incarnation="life-1",
        load_seconds=1.5,
        n_ctx=256,
        running=3,
        waiting=2,
        kv_cells_used=100,
        kv_cells_total=400,
        restarts=1,
    )
    telemetry_store.save("life-1", measured().snapshot())
    return worker


@pytest.fixture
def without_aliases(settings: Any) -> None:
    settings.CONFIG = changed(settings.CONFIG, metrics__aliases=False)


def test_what_a_worker_measures_comes_with_its_model_and_replica(
    worker: Worker,
) -> None:
    samples = scrape()
    assert value(samples, "llm_engine_prompt_tokens_total") == 10
    assert value(samples, "llm_engine_prefill_tokens_total") == 6
    assert value(samples, "llm_engine_output_tokens_total") == 2
    assert value(samples, "llm_engine_finished_total", reason="aborted") == 1
    assert value(samples, "llm_engine_finished_total", reason="stop") == 0
    assert value(samples, "llm_context_max_tokens") == 4096
    # What the engine says of its context is newer than the row.
    assert value(samples, "llm_context_size_tokens") == 512
    assert value(samples, "llm_kv_usage_ratio") == 0.25
    assert value(samples, "llm_worker_restarts_total") == 1
    assert value(samples, "llm_engine_reporting") == 1


def test_a_histogram_is_cumulative(worker: Worker) -> None:
    samples = scrape()
    name = "llm_engine_time_to_first_token_seconds"
    assert value(samples, f"{name}_bucket", le="0.5") == 0
    assert value(samples, f"{name}_bucket", le="0.75") == 1
    assert value(samples, f"{name}_bucket", le="1.0") == 1
    assert value(samples, f"{name}_bucket", le="+Inf") == 1
    assert value(samples, f"{name}_count") == 1
    assert value(samples, f"{name}_sum") == 0.7


def test_every_histogram_is_valid(worker: Worker) -> None:
    """Its buckets grow with their bounds, and the last equals the count."""
    for family in text_string_to_metric_families(metrics_text().decode()):
        if family.type != "histogram":
            continue
        for _, own in _by_labels(family.samples).items():
            buckets = [
                (float(s.labels["le"]), s.value)
                for s in own
                if s.name.endswith("_bucket")
            ]
            count = next(s.value for s in own if s.name.endswith("_count"))
            assert buckets[-1] == (float("inf"), count), family.name
            for (lower, fewer), (upper, more) in pairwise(buckets):
                assert lower < upper, family.name
                assert fewer <= more, family.name


def _by_labels(samples: Any) -> dict[frozenset[tuple[str, str]], list[Any]]:
    found: dict[frozenset[tuple[str, str]], list[Any]] = {}
    for sample in samples:
        labels = {k: v for k, v in sample.labels.items() if k != "le"}
        found.setdefault(frozenset(labels.items()), []).append(sample)
    return found


def test_vllms_dashboard_finds_its_metrics(worker: Worker) -> None:
    samples = scrape()
    assert set(VLLM_DASHBOARD) <= names(samples)
    assert value(samples, "vllm:request_success_total", finished_reason="abort") == 1
    assert value(samples, "vllm:kv_cache_usage_perc") == 0.25
    assert value(samples, "vllm:num_requests_waiting") == 2
    assert value(samples, "vllm:prefix_cache_hits_total") == 4
    assert value(samples, "vllm:iteration_tokens_total_sum") == 7


def test_llama_servers_panels_find_their_metrics(worker: Worker) -> None:
    samples = scrape()
    assert {f"llamacpp:{name}" for name in LLAMA_SERVER} <= names(samples)
    assert value(samples, "llamacpp:prompt_tokens_total") == 6
    assert value(samples, "llamacpp:prompt_seconds_total") == 0.5
    assert value(samples, "llamacpp:prompt_tokens_seconds") == 12
    assert value(samples, "llamacpp:tokens_predicted_seconds_total") == 0.25
    assert value(samples, "llamacpp:predicted_tokens_seconds") == 8
    assert value(samples, "llamacpp:n_busy_slots_per_decode") == 1
    assert value(samples, "llamacpp:n_tokens_max") == 12
    assert value(samples, "llamacpp:requests_processing") == 3


@pytest.mark.usefixtures("without_aliases")
def test_the_names_of_others_can_be_left_out(worker: Worker) -> None:
    assert not any(":" in name for name in names(scrape()))


def test_a_worker_that_has_done_nothing_yet_divides_by_nothing(worker: Worker) -> None:
    telemetry_store.save("life-1", Telemetry().snapshot())
    Worker.objects.update(kv_cells_total=0)
    samples = scrape()
    assert value(samples, "llamacpp:prompt_tokens_seconds") == 0
    assert value(samples, "llamacpp:n_busy_slots_per_decode") == 0
    assert "llm_kv_usage_ratio" not in names(samples)


def test_every_measurement_of_the_engine_is_exported(worker: Worker) -> None:
    """A key of the telemetry without a line in the table would be lost."""
    telemetry = measured()
    telemetry.context_resized(1024)
    samples = scrape()
    for key in telemetry.snapshot()["histograms"]:
        assert f"llm_engine_{key}_count" in names(samples)
    for key in telemetry.snapshot()["counters"]:
        assert f"llm_engine_{key}_total" in names(samples)


# Where it comes from -------------------------------------------------------------


def test_replicas_have_series_of_their_own_also_while_they_drain(
    worker: Worker,
) -> None:
    make_worker(
        *(worker.model, worker.node),
        replica=1,
        incarnation="life-2",
        state=WorkerState.DRAINING,
        running=1,
    )
    telemetry_store.save("life-2", Telemetry().snapshot())
    samples = scrape()
    assert value(samples, "llm_engine_output_tokens_total") == 2
    assert value(samples, "llm_engine_output_tokens_total", replica="1") == 0
    assert value(samples, "llm_requests_running", replica="1") == 1
    assert samples["llm_active_models", frozenset()] == 1


def test_workers_are_counted_by_model_and_state(worker: Worker) -> None:
    make_worker(make_model("broken"), worker.node, state=WorkerState.FAILED)
    away = make_node("away", heartbeat_at=timezone.now() - timedelta(minutes=1))
    make_worker(worker.model, away, replica=1)
    found = {
        (labels["model"], labels["state"]): number
        for (name, pairs), number in scrape().items()
        if name == "llm_workers" and number and (labels := dict(pairs))
    }
    assert found == {
        ("tiny", "ready"): 1,
        ("tiny", "silent"): 1,
        ("broken", "failed"): 1,
    }


def test_a_restarted_worker_starts_from_zero(worker: Worker) -> None:
    Worker.objects.update(incarnation="life-2")
    samples = scrape()
    assert value(samples, "llm_engine_reporting") == 0
    assert "llm_engine_output_tokens_total" not in names(samples)
    telemetry_store.save("life-2", Telemetry().snapshot())
    assert value(scrape(), "llm_engine_output_tokens_total") == 0


def test_without_redis_the_rest_is_exported(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise RedisConnectionError("connection refused")

    monkeypatch.setattr(telemetry_store, "load", fail)
    samples = scrape()
    assert value(samples, "llm_engine_reporting") == 0
    assert value(samples, "llm_requests_running") == 3
    assert "llm_engine_output_tokens_total" not in names(samples)


def test_no_worker_at_all_is_a_valid_answer(db: None) -> None:
    samples = scrape()
    assert samples["llm_active_models", frozenset()] == 0
    assert not any(name.startswith("llm_engine_") for name in names(samples))


def test_many_workers_cost_one_query(
    worker: Worker, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for replica in range(1, 4):
        make_worker(worker.model, worker.node, replica=replica)
    with django_assert_num_queries(1):  # The workers with their models.
        metrics_text()


def test_a_models_name_cannot_break_the_answer(db: None) -> None:
    hostile = 'a"b\\c\n# TYPE llm_requests_running counter'
    make_worker(make_model(hostile), make_node(), running=5)
    assert value(scrape(), "llm_requests_running", model=hostile) == 5


@pytest.mark.django_db(transaction=True)
async def test_what_an_engine_does_comes_out_at_the_other_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.worker.model_server._REPORT_EVERY_S", 0.05)
    # A worker that rests reports a request at once.
    monkeypatch.setattr("inference.worker.model_server._REPORT_AT_REST_EVERY_S", 3600)
    backend = FakeBackend()
    backend.script("go", "abc")
    world.start_worker(backend)
    await collect(await world.submit("go"))

    def finished() -> float:
        telemetry = world.reports["life-1"].telemetry
        return telemetry["finished"]["stop"] if telemetry else 0

    await until(lambda: finished() == 1)
    report = report_from_line(report_to_line(world.reports["life-1"]))
    assert report is not None
    assert report.telemetry is not None

    @sync_to_async
    def scraped() -> Samples:
        assert report.telemetry is not None
        telemetry_store.save("life-1", report.telemetry)
        make_worker(make_model("tiny"), make_node(), incarnation="life-1")
        return scrape()

    samples = await scraped()
    # Two tokens of prompt; three of text and the one that ends it.
    assert value(samples, "vllm:prompt_tokens_total") == 2
    assert value(samples, "vllm:generation_tokens_total") == 4
    assert value(samples, "vllm:inter_token_latency_seconds_count") == 3
    assert value(samples, "llm_engine_time_to_first_token_seconds_count") == 1
    assert value(samples, "llm_engine_finished_total", reason="stop") == 1


# The table, the page, the dashboard ------------------------------------------------


def test_names_are_declared_once() -> None:
    exported = [
        n for m in WORKER_METRICS + COMPATIBLE_METRICS for n in (m.name, *m.aliases)
    ]
    exported += [family.name for web in REQUEST_METRICS for family in web.describe()]
    stems = [name.removesuffix("_total") for name in exported]
    repeated = {stem for stem in stems if stems.count(stem) > 1}
    assert not repeated


@pytest.mark.parametrize(
    "metric", WORKER_METRICS + COMPATIBLE_METRICS, ids=lambda m: m.name
)
def test_names_follow_their_kind(metric: Any) -> None:
    is_counter = metric.kind == "counter"
    assert metric.name.endswith("_total") == is_counter
    assert metric.help.endswith(".")
    if is_counter:
        assert all(alias.endswith("_total") for alias in metric.aliases)


def test_the_page_lists_every_metric() -> None:
    page = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    for metric in WORKER_METRICS + COMPATIBLE_METRICS:
        for name in (metric.name, *metric.aliases):
            assert f"`{name}`" in page
    for web in REQUEST_METRICS:
        for family in web.describe():
            assert f"`{family.name}" in page


def exported_names() -> set[str]:
    """Return every name that the page has."""
    Metrics.get_instance()  # django-prometheus registers its metrics with this
    exported = names(scrape())
    for family in REGISTRY.collect():
        if family.type == "histogram":
            exported |= {f"{family.name}_{part}" for part in ("bucket", "sum", "count")}
        elif family.type == "gauge":
            exported.add(family.name)
        else:
            exported.add(f"{family.name}_total")
    return exported


def names_in(query: str) -> set[str]:
    """Return the metrics that a query of Prometheus names."""
    return set(re.findall(r"\b(?:llm|vllm|llamacpp|django)[_:][a-z_:]+", query))


#: What panels of upstreams' own metrics ask for: of every job but ours.
OF_UPSTREAMS = 'job!~"llm-manager.*"'


def test_the_alerts_ask_only_for_exported_metrics(worker: Worker) -> None:
    text = (ROOT / "deploy/prometheus/llm-manager.rules.yml").read_text("utf-8")
    rules = yaml.safe_load(text)["groups"][0]["rules"]
    exported = exported_names()
    for rule in rules:
        # What Prometheus itself says of a scrape is of no page.
        assert names_in(rule["expr"]) or rule["expr"].startswith("up{")
        assert names_in(rule["expr"]) <= exported, rule["alert"]


def test_the_dashboard_asks_only_for_exported_metrics(worker: Worker) -> None:
    text = (ROOT / "deploy/grafana/llm-manager.json").read_text(encoding="utf-8")
    dashboard = json.loads(text)
    exported = exported_names()
    queries = [
        target["expr"]
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    ]
    assert len(queries) > 40
    for query in queries:
        asked = names_in(query)
        assert asked
        # tests/e2e/upstreams has the real servers whose metrics these are.
        assert asked <= exported or OF_UPSTREAMS in query, query
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    assert {v["name"] for v in dashboard["templating"]["list"]} == {
        "datasource",
        "model",
    }
