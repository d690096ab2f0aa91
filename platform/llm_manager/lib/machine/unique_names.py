"""Names that nothing else has, made without a system call.

A request has several. The system's random numbers cost each a call, during which other
threads take the interpreter. They are no secrets: who knows one knows others.
"""

from __future__ import annotations

import os
import random

_random = random.Random()  # noqa: S311 - names, no secrets
# A child process would go on with the same numbers.
os.register_at_fork(after_in_child=_random.seed)


def unique_name() -> str:
    """Return 32 hexadecimal digits."""
    return f"{_random.getrandbits(128):032x}"


def random_bits(count: int) -> int:
    """Return a number of so many bits."""
    return _random.getrandbits(count)
