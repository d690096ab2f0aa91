"""The ids of usage rows: UUIDs of version 7, whose order is that of time.

RFC 9562, 5.7: 48 bits of milliseconds since the epoch, then random ones.
"""

from __future__ import annotations

import os
import uuid

_VERSION = 7 << 76
_VARIANT = 2 << 62
_RANDOM_A = 0xFFF << 64
_RANDOM_B = (1 << 62) - 1


def new_id(time_s: float) -> uuid.UUID:
    """Return a new id; the request came at this time, in seconds since the epoch."""
    random = int.from_bytes(os.urandom(10), "big")
    kept = random & (_RANDOM_A | _RANDOM_B)
    return uuid.UUID(int=int(time_s * 1000) << 80 | _VERSION | _VARIANT | kept)


def first_id_at(time_s: float) -> uuid.UUID:
    """Return the lowest id of this millisecond: a bound, which no request has."""
    return uuid.UUID(int=int(time_s * 1000) << 80)
