from __future__ import annotations

import pytest

from inference.engine.kv_cache.cells import Cells


def test_a_split_cache_pays_for_every_copy() -> None:
    cells = Cells(total=100, are_shared=False)
    cells.append(0, 30)
    cells.share(0, 1, 20)
    assert (cells.used, cells.length(1)) == (50, 20)


def test_a_unified_cache_counts_shared_cells_once() -> None:
    cells = Cells(total=100, are_shared=True)
    cells.append(0, 30)
    cells.share(0, 1, 20)
    cells.append(1, 5)
    assert (cells.used, cells.length(0), cells.length(1)) == (35, 30, 25)
    cells.clear(0)
    assert (cells.used, cells.length(1)) == (25, 25)
    cells.check_integrity()


def test_clearing_gains_only_what_nobody_else_uses() -> None:
    cells = Cells(total=100, are_shared=True)
    cells.append(0, 30)
    cells.share(0, 1, 20)
    assert cells.gained_by_clearing(0) == 10
    assert cells.gained_by_clearing(1) == 0
    assert cells.used_by([0, 1]) == 30


def test_a_cut_in_the_middle_of_shared_cells_leaves_the_other_its_own() -> None:
    cells = Cells(total=100, are_shared=True)
    cells.append(0, 30)
    cells.share(0, 1, 30)
    cells.share(1, 2, 10)
    cells.keep(1, 5)
    assert [cells.length(slot) for slot in range(3)] == [30, 5, 10]
    cells.clear(0)
    assert cells.used == 10
    cells.check_integrity()


def test_moving_changes_the_owner_and_not_the_count() -> None:
    cells = Cells(total=100, are_shared=False)
    cells.append(3, 7)
    cells.move(3, 0)
    assert (cells.length(0), cells.length(3), cells.used) == (7, 0, 7)
    cells.append(3, 1)
    with pytest.raises(ValueError, match="not empty"):
        cells.move(0, 3)


def test_the_audit_finds_a_cell_that_was_counted_twice() -> None:
    cells = Cells(total=100, are_shared=False)
    cells.append(0, 7)
    cells.used += 1
    with pytest.raises(AssertionError):
        cells.check_integrity()
