"""The collector and what a process has loaded."""

from __future__ import annotations

import gc

from llm_manager.lib.processes.heap import freeze_heap


def test_what_was_loaded_is_not_looked_through_again() -> None:
    before, thresholds = len(gc.get_objects()), gc.get_threshold()
    freeze_heap()
    try:
        assert len(gc.get_objects()) < before / 10
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
