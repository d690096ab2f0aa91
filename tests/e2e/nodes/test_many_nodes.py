"""Several web processes and nodes: what faults cost, and what holds across them."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from itertools import cycle
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.faults.network import NotPermitted
from benchmarks.model import Conditions, put_model
from benchmarks.nodes.cluster import Cluster, cluster
from benchmarks.nodes.faults import node_faults
from benchmarks.nodes.trial import try_fault, try_under_load, undisturbed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmarks.nodes.faults import NodeFault

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.model,
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.asyncio(loop_scope="module"),
]

STREAMS = 16
#: Everybody has noticed by then.
LONG_ENOUGH_S = 12.0
_WAIT_S = 60.0


@dataclass(frozen=True)
class Nodes:
    """What runs, the texts of its streams, and the faults for it."""

    cluster: Cluster
    expected: list[str]
    faults: dict[str, NodeFault]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nodes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Nodes]:
    folder = tmp_path_factory.mktemp("nodes")
    conditions = Conditions(
        model=put_model(folder / "models", "Q4_0"),
        n_threads=1,
        n_ctx=512,
        # One node is enough for all while the other ones are away.
        n_seq_max=STREAMS + 4,
    )
    try:
        async with cluster(conditions, folder) as running:
            await undisturbed(running.api, STREAMS)
            assert not await running.settle()
            expected = await undisturbed(running.api, STREAMS)
            faults = {each.name: each for each in node_faults(folder / "later")}
            yield Nodes(running, expected, faults)
    except FileNotFoundError as error:
        pytest.skip(str(error))


async def test_requests_spread_over_the_nodes_that_have_room(nodes: Nodes) -> None:
    taken = nodes.cluster.rows("SELECT requests_total FROM inference_worker")
    # Both had some of the streams that came at once.
    assert all(row["requests_total"] >= STREAMS // 4 for row in taken), taken
    assert len(taken) == nodes.cluster.replicas


async def test_a_rate_limit_counts_what_both_web_processes_let_in(nodes: Nodes) -> None:
    allowed = 6
    key, _ = await new_key(nodes, "limited", rate_limit=allowed)
    # One after the other, so that it is certain which come first.
    statuses = [
        (await ask(nodes, key, web)).status_code
        for web, _ in zip(cycle((0, 1)), range(9), strict=False)
    ]
    assert statuses == [200] * allowed + [429] * 3


async def test_a_budget_counts_what_both_web_processes_answer(nodes: Nodes) -> None:
    key, prefix = await new_key(nodes, "budgeted")
    first = await ask(nodes, key, 0)
    used = first.json()["usage"]["total_tokens"]
    # Enough for two more, and not for a third one.
    limit = {"key": prefix, "kind": "tokens_day", "amount": 3 * used + used // 2}
    made = await administer(nodes, 0, "limits", limit)
    assert made.status_code in (200, 201), made.text
    later = [await ask(nodes, key, web) for web in (1, 0, 1, 0)]
    assert later[-1].status_code == 429, later[-1].text
    assert later[0].status_code == 200, later[0].text


async def test_a_key_that_one_web_process_revokes_is_refused_by_the_other(
    nodes: Nodes,
) -> None:
    key, prefix = await new_key(nodes, "revoked")
    assert (await ask(nodes, key, 1)).status_code == 200
    revoked = await administer(nodes, 0, f"keys/{prefix}/revoke", {})
    assert revoked.status_code == 200, revoked.text
    async with asyncio.timeout(_WAIT_S):
        while (await ask(nodes, key, 1)).status_code != 401:
            await asyncio.sleep(0.1)


async def test_metrics_of_workers_are_the_same_everywhere_and_those_of_webs_add_up(
    nodes: Nodes,
) -> None:
    before = [await counted(nodes, web) for web in (0, 1)]
    key, _ = await new_key(nodes, "measured")
    for web in (0, 1, 1):
        assert (await ask(nodes, key, web)).status_code == 200
    after = [await counted(nodes, web) for web in (0, 1)]
    more = [
        new["llm_requests_total"] - old["llm_requests_total"]
        for new, old in zip(after, before, strict=True)
    ]
    assert more == [1, 2]
    replicas = nodes.cluster.replicas
    assert [each["llm_engine_reporting"] for each in after] == [replicas, replicas]


@pytest.mark.parametrize(
    "name",
    [
        "node killed",
        "node frozen for 20 s",
        "node cut off from Redis for 20 s",
        # Last: what comes after it is of another version.
        "rolling upgrade",
    ],
)
async def test_a_fault_loses_doubles_and_changes_nothing(
    nodes: Nodes, name: str
) -> None:
    fault = nodes.faults[name]
    fault = replace(fault, seconds=min(fault.seconds, LONG_ENOUGH_S))
    # What takes long has load all the time, and fewer streams end it sooner.
    attempt, streams = (try_under_load, 4) if fault.takes_long else (try_fault, STREAMS)
    try:
        result = await attempt(nodes.cluster, fault, nodes.expected[:streams])
    except NotPermitted as error:
        pytest.skip(str(error))
    assert result.is_good, result


async def new_key(nodes: Nodes, name: str, **more: Any) -> tuple[str, str]:
    """Make a key; return its secret and its prefix."""
    body = {"name": name, "owner": "admin", "all_models": True, "rate_limit": 0}
    made = await administer(nodes, 0, "keys", body | more)
    assert made.status_code in (200, 201), made.text
    return made.json()["secret"], made.json()["key"]["prefix"]


async def administer(nodes: Nodes, web: int, route: str, body: Any) -> httpx.Response:
    return await post(nodes, web, f"/v1/admin/{route}", nodes.cluster.api.key, body)


async def ask(nodes: Nodes, key: str, web: int) -> httpx.Response:
    """Ask one of the web processes for a short answer."""
    body = {"model": nodes.cluster.api.model, "prompt": "1, 2,", "max_tokens": 2}
    return await post(nodes, web, "/v1/completions", key, body)


async def post(
    nodes: Nodes, web: int, path: str, key: str, body: Any
) -> httpx.Response:
    async with httpx.AsyncClient(
        base_url=nodes.cluster.api.base_urls[web], timeout=_WAIT_S, trust_env=False
    ) as client:
        headers = {"Authorization": f"Bearer {key}"}
        return await client.post(path, headers=headers, json=body)


async def counted(nodes: Nodes, web: int) -> Counter[str]:
    """Return the sums of the samples of each name that a web process has."""
    api = nodes.cluster.api
    async with httpx.AsyncClient(
        base_url=api.base_urls[web], trust_env=False
    ) as client:
        headers = {"Authorization": f"Bearer {api.key}"}
        answer = await client.get("/metrics", headers=headers, timeout=_WAIT_S)
    sums: Counter[str] = Counter()
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            sums[sample.name] += (
                int(sample.value) if sample.value == sample.value else 0
            )
    return sums
