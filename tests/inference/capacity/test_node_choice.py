from __future__ import annotations

import pytest

from inference.capacity.node_choice import NodeRoom, is_better


def room(of_model: int, free: float, *, fits: bool = True) -> NodeRoom:
    return NodeRoom(of_model, free, fits)


@pytest.mark.parametrize(
    ("other", "own", "spread", "pack"),
    [
        pytest.param(room(0, 0.5), room(1, 0.9), True, True, id="fewer workers"),
        pytest.param(room(0, 0.9), room(0, 0.5), True, False, id="more free"),
        pytest.param(room(0, 0.5), room(0, 0.9), False, True, id="less free"),
        pytest.param(room(0, 0.5), room(0, 0.5), False, False, id="alike"),
        pytest.param(room(0, 0.9, fits=False), room(3, 0), False, False, id="no room"),
        pytest.param(room(3, 0), room(0, 0.9, fits=False), True, True, id="room there"),
    ],
)
def test_which_node_loads_a_worker(
    other: NodeRoom, own: NodeRoom, spread: bool, pack: bool
) -> None:
    assert is_better(other, own, placement="spread") == spread
    assert is_better(other, own, placement="pack") == pack
