"""What llama.cpp finds in a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from inference.engine.llama.bindings.batch import LlamaBatch

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def batch() -> Iterator[LlamaBatch]:
    batch = LlamaBatch(8)
    yield batch
    batch.close()


def rows(batch: LlamaBatch) -> list[tuple[int, int, int, int, bool]]:
    """Return token, position, number of sequences, slot and output of each place."""
    raw = batch.raw
    return [
        (
            raw.token[place],
            raw.pos[place],
            raw.n_seq_id[place],
            raw.seq_id[place][0],
            bool(raw.logits[place]),
        )
        for place in range(len(batch))
    ]


def test_tokens_come_one_after_the_other(batch: LlamaBatch) -> None:
    assert batch.add([7], start=30, slot=2, outputs=1) == 1
    assert batch.add([4, 5, 6], start=10, slot=3, outputs=2) == 4

    assert rows(batch) == [
        (7, 30, 1, 2, True),
        (4, 10, 1, 3, False),
        (5, 11, 1, 3, True),
        (6, 12, 1, 3, True),
    ]


def test_a_cleared_batch_keeps_nothing(batch: LlamaBatch) -> None:
    batch.add([1, 2, 3], start=0, slot=1, outputs=3)
    batch.clear()
    assert len(batch) == 0

    batch.add([8, 9], start=5, slot=0)
    batch.add([3], start=0, slot=4)

    assert rows(batch) == [
        (8, 5, 1, 0, False),
        (9, 6, 1, 0, False),
        (3, 0, 1, 4, False),
    ]
