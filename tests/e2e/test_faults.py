"""Faults under streams, on real processes: what clients see, and what is not lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from benchmarks.client.answers import clock
from benchmarks.client.http_client import HttpTarget
from benchmarks.faults.clients import Api
from benchmarks.faults.fault import Place, one_machine
from benchmarks.faults.trial import STREAMS, next_within_s, try_fault, undisturbed
from benchmarks.model import Conditions, put_model
from benchmarks.systems.ours import Ours

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.model,
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.asyncio(loop_scope="module"),
]

#: Longer than a lease, the silence of a dead worker, and the patience of the launcher.
PAUSE_S = 17.0


@dataclass(frozen=True)
class Installation:
    """A server that outlasts all faults, and the texts of its streams."""

    api: Api
    place: Place
    expected: list[str]
    limit_s: float


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Installation]:
    folder = tmp_path_factory.mktemp("faults")
    home = folder / "server"
    home.mkdir()
    conditions = Conditions(
        model=put_model(folder / "models", "Q4_0"), n_threads=2, n_seq_max=STREAMS + 4
    )
    begin = clock()
    async with Ours(num_keys=1).running(conditions, home) as running:
        limit_s = next_within_s(clock() - begin)
        target = running.target
        assert isinstance(target, HttpTarget)
        api = Api((f"http://127.0.0.1:{target.port}",), target.keys[0], target.model)
        await undisturbed(api)
        expected = await undisturbed(api)
        yield Installation(api, Place(running.processes, home), expected, limit_s)


# The command has more rows; these are the ones that differ in what must go on.
@pytest.mark.parametrize(
    "name",
    [
        "web frozen for 17 s",
        "worker frozen for 17 s",
        "redis frozen for 17 s",
        "all of them frozen for 17 s",
        "web killed",
        "database locked for 20 s",
    ],
)
async def test_a_fault_costs_a_pause_and_no_token(
    installation: Installation, name: str
) -> None:
    (fault,) = [each for each in one_machine((PAUSE_S,)) if each.name == name]
    result = await try_fault(
        installation.api, fault, installation.expected, installation.place
    )
    assert result.right == STREAMS, result
    assert result.next_s is not None
    assert result.next_s < installation.limit_s, result
