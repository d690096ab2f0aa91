"""Frames of JSON on pipes: four bytes of length, then the text.

JSON and not pickle: what a child process sends is as hostile as its template.
"""

from __future__ import annotations

import json
import os
import select
import struct
import time
from typing import Any

_LENGTH = struct.Struct("!I")
#: The longest frame, in bytes: a body and its prompt, with every character escaped.
MAX_FRAME_BYTES = 512 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024


class PipeClosed(Exception):
    """The other end has closed the pipe."""


def write_frame(fd: int, value: Any, *, deadline: float | None = None) -> None:
    """Write a value. Raises TimeoutError after the monotonic deadline, PipeClosed.

    With a deadline the pipe must not block.
    """
    data = json.dumps(value).encode()
    left = memoryview(_LENGTH.pack(len(data)) + data)
    while left:
        try:
            left = left[os.write(fd, left[:_CHUNK_BYTES]) :]
        except BlockingIOError:
            _wait(fd, select.POLLOUT, deadline)
        except OSError as error:
            raise PipeClosed from error


def read_frame(fd: int, *, deadline: float | None = None) -> Any:
    """Read a value. Raises TimeoutError after the deadline, PipeClosed, ValueError.

    With a deadline the pipe must not block.
    """
    # It is not there yet; most of what follows its length is there with it.
    _wait(fd, select.POLLIN, deadline)
    (length,) = _LENGTH.unpack(_read(fd, _LENGTH.size, deadline))
    if length > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {length} bytes")
    return json.loads(_read(fd, length, deadline))


def _read(fd: int, count: int, deadline: float | None) -> bytes:
    parts = []
    while count:
        try:
            part = os.read(fd, min(count, _CHUNK_BYTES))
        except BlockingIOError:
            _wait(fd, select.POLLIN, deadline)
            continue
        except OSError as error:
            raise PipeClosed from error
        if not part:
            raise PipeClosed
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _wait(fd: int, event: int, deadline: float | None) -> None:
    if deadline is None:
        return
    poll = select.poll()
    poll.register(fd, event)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise TimeoutError
