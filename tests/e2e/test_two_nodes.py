"""Two nodes, each on a machine of its own: what faults of one cost all clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.faults.fault import Place
from benchmarks.faults.network import NotPermitted
from benchmarks.faults.trial import next_within_s, try_fault, undisturbed
from benchmarks.faults.two_nodes import two_nodes
from benchmarks.model import Conditions, put_model

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.model,
    pytest.mark.long,
    pytest.mark.timeout(900),
]

STREAMS = 8


# `python -m benchmarks faults --only "two nodes"` has the others.
@pytest.mark.parametrize(
    "name", ["one of two nodes killed", "one of two nodes cut off for 20 s"]
)
async def test_a_node_costs_a_pause_and_no_token(tmp_path: Path, name: str) -> None:
    conditions = Conditions(
        model=put_model(tmp_path / "models", "Q4_0"), n_threads=2, n_seq_max=STREAMS + 4
    )
    try:
        async with two_nodes(conditions, tmp_path) as nodes:
            expected = await undisturbed(nodes.api, STREAMS)
            place = Place(nodes.processes, tmp_path)
            result = await try_fault(nodes.api, nodes.fault(name), expected, place)
    except (NotPermitted, FileNotFoundError) as error:
        pytest.skip(str(error))
    assert result.right == STREAMS, result
    assert result.next_s is not None
    assert result.next_s < next_within_s(nodes.start_s), result
