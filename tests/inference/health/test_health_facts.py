"""What the parts say of themselves, and what is wrong with them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync
from channels.layers import channel_layers
from django.utils import timezone

from accounts.record_id import new_id
from accounts.usage.backlog import journal_backlog
from accounts.usage.ingester import Ingester
from accounts.usage.journal import Journal
from inference.health.database_facts import DatabaseFacts
from inference.health.facts import HealthFacts, MachineDisk, health_facts
from inference.health.findings import can_serve, health_findings
from inference.health.redis_facts import RedisFacts, redis_facts
from inference.models import WorkerState
from inference.transport.queue import queue_name
from llm_manager.lib.machine.disks import DiskSpace, disk_spaces
from registry.models import FileState, Upstream
from tests.accounts.usage.test_ingestion import entry
from tests.factories import GIB, make_model, make_node, make_upstream, make_worker

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_django.fixtures import DjangoAssertNumQueries, Settings

pytestmark = pytest.mark.django_db


@pytest.fixture
def facts() -> HealthFacts:
    """Return the facts of an installation with nothing wrong."""
    programs = {"llama-cpp-python": "0.3.36"}
    make_node(version="1.0.0", programs=programs)
    return replace(
        health_facts(),
        version="1.0.0",
        programs=programs,
        redis=RedisFacts(0.2, version="7.2", memory_bytes=100),
        database=DatabaseFacts("SQLite", "3.40", 1000, 0.1),
        disks=[disk(free=200 * GIB)],
        # Other tests of this process may have lost some.
        lines_lost=0,
    )


def disk(free: int, error: str = "") -> MachineDisk:
    space = DiskSpace(
        name="data", path="/data", total=1000 * GIB, free=free, error=error
    )
    return MachineDisk("node-1", space)


def parts(facts: HealthFacts) -> list[tuple[str, str]]:
    return [(each.severity, each.part) for each in health_findings(facts)]


def test_nothing_is_wrong_with_what_is_well(facts: HealthFacts) -> None:
    assert parts(facts) == []
    assert can_serve(facts)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"redis": RedisFacts(0.2, error="refused")}, ("danger", "Redis")),
        ({"redis": RedisFacts(900, version="7")}, ("warning", "Redis")),
        (
            {"redis": RedisFacts(1, memory_bytes=95, memory_limit_bytes=100)},
            ("warning", "Redis"),
        ),
        ({"database": DatabaseFacts("SQLite", "3", 1, 600)}, ("warning", "Database")),
        ({"disks": [disk(free=GIB // 2)]}, ("danger", "Disk of node-1")),
        ({"disks": [disk(free=10 * GIB)]}, ("warning", "Disk of node-1")),
        ({"disks": [disk(free=GIB // 2)] * 2}, ("danger", "Disk of node-1")),
        ({"disks": [disk(0, "Input/output error")]}, ("warning", "Disk of node-1")),
        ({"lines_lost": 2}, ("danger", "Usage")),
        ({"version": "2.0.0"}, ("warning", "Node node-1")),
        ({"programs": {"llama-cpp-python": "0.4"}}, ("warning", "Node node-1")),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(
    facts: HealthFacts, changed: dict[str, Any], expected: tuple[str, str]
) -> None:
    found = health_findings(replace(facts, **changed))
    assert [(each.severity, each.part) for each in found] == [expected]
    assert found[0].advice


def test_the_worst_is_first_and_lost_nodes_and_failed_models_are_named(
    facts: HealthFacts,
) -> None:
    old = timezone.now() - timedelta(minutes=5)
    lost = make_node("gone", heartbeat_at=old)
    make_node("wrong", clock_offset_s=-3.0, memory_available=GIB // 2)
    model = make_model("broken")
    make_worker(model, lost, state=WorkerState.FAILED, error="no such tensor")
    found = health_findings(replace(facts, overview=health_facts().overview))
    assert parts(replace(facts, overview=health_facts().overview)) == [
        ("danger", "Node gone"),
        ("danger", "Model broken"),
        ("warning", "Node wrong"),
        ("warning", "Node wrong"),
    ]
    assert found[0].node_id == lost.pk
    assert found[1].model_id == model.pk
    assert "no such tensor" in found[1].text
    assert any("3.0 s behind" in each.text for each in found)


def test_a_node_that_redis_does_not_reach_is_named(facts: HealthFacts) -> None:
    now = timezone.now()
    make_node("deaf", heartbeat_at=now, redis_heard_at=now - timedelta(seconds=40))
    make_node("well", heartbeat_at=now, redis_heard_at=now - timedelta(seconds=2))
    found = replace(facts, overview=health_facts().overview)
    assert parts(found) == [("danger", "Node deaf")]


def test_without_a_living_node_nothing_can_be_served(facts: HealthFacts) -> None:
    empty = replace(facts.overview, nodes=[])
    assert parts(replace(facts, overview=empty)) == [("danger", "Engine")]
    assert not can_serve(replace(facts, overview=empty))


def test_redis_says_its_version_memory_and_what_waits_in_it() -> None:
    model = make_model("busy")
    make_model("gone", state=FileState.MISSING)

    async def fill() -> None:
        for _ in range(3):
            await channel_layers["queue"].send(queue_name(model.pk), {"type": "x"})

    async def empty() -> None:
        await channel_layers["queue"].flush()

    async_to_sync(fill)()
    try:
        facts = redis_facts()
    finally:
        async_to_sync(empty)()
    assert facts.error == ""
    assert facts.queues == {"busy": 3}
    assert facts.version
    assert facts.memory_bytes > 0


def test_a_redis_that_is_away_is_a_fact(settings: Settings, tmp_path: Path) -> None:
    settings.REDIS_URL = f"unix://{tmp_path}/none.sock"
    facts = redis_facts()
    assert facts.error
    assert facts.queues == {}


def test_facts_take_few_queries_whatever_is_there(
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    for number in range(12):
        make_worker(make_model(), make_node(f"n{number}"))
    with django_assert_max_num_queries(10):
        facts = health_facts()
    assert facts.database.size_bytes > 0
    assert facts.programs["Python"]


def test_a_folder_that_is_not_there_is_a_fact(tmp_path: Path) -> None:
    good, bad = disk_spaces({"models": [tmp_path, tmp_path / "none"]})
    assert good["error"] == ""
    assert good["total"] >= good["free"] > 0
    assert bad["error"] == "No such file or directory"


def test_the_backlog_is_what_has_ended_and_has_no_row(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    ingester = Ingester(journal, tmp_path)
    assert journal_backlog(tmp_path).waiting == 0

    def request(ago_s: float, *, is_over: bool = True) -> None:
        time_s = timezone.now().timestamp() - ago_s
        fields = {**entry(), "id": str(new_id(time_s)), "time": time_s}
        id_ = fields.pop("id")
        if is_over:
            journal.whole(id_, fields)
        else:
            journal.begin(id_, fields)

    for ago_s in (90, 80):
        request(ago_s)
    ingester.look()
    request(70, is_over=False)
    assert journal_backlog(tmp_path).waiting == 0
    for ago_s in (60, 50, 40):
        request(ago_s)
    found = journal_backlog(tmp_path)
    assert (found.files, found.waiting) == (1, 3)
    assert found.oldest_at == pytest.approx(timezone.now().timestamp() - 60, abs=5)
    ingester.look()
    assert journal_backlog(tmp_path).waiting == 0


def test_an_upstream_that_fails_is_a_finding_until_it_is_disabled() -> None:
    there = make_upstream(fault="It does not answer at all.")
    found = health_findings(health_facts())
    [said] = [each for each in found if there.name in each.part]
    assert said.severity == "warning"
    assert said.text == "It does not answer at all."
    Upstream.objects.update(is_enabled=False)
    assert not health_facts().upstream_faults


def test_an_upstream_that_gets_no_requests_is_a_finding_until_it_does() -> None:
    later = timezone.now() + timedelta(minutes=1)
    there = make_upstream(paused_until=later)
    assert health_facts().upstream_faults == {there.name: "It fails requests."}
    Upstream.objects.update(paused_until=timezone.now())
    assert not health_facts().upstream_faults
