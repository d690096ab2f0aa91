"""Waiting for something that another process does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_POLL_S = 0.02


def wait_until(condition: Callable[[], object], timeout_s: float = 30.0) -> None:
    """Return once the condition holds; fail the test if it never does."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(_POLL_S)
