"""Decodes images in processes that can be killed, fair between clients."""

from __future__ import annotations

import atexit
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from threading import Lock, Semaphore, Timer
from typing import IO

from inference.api.media import decoding_process as process
from inference.api.media.decoding_process import ANSWER, JOB
from llm_manager.lib.processes.python_path import python_path

#: Processes at once; each is started when it is first needed.
_PROCESSES = 2
#: 50 million pixels of the dearest format take some 3 s on a slow core.
_TIMEOUT_S = 20.0


class UndecodableImage(Exception):
    """The file is no image that can be shown; the message says why."""


class TooLargeImage(UndecodableImage):
    """The image has too many pixels."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """An image in RGB; ``packed`` are its rows by zlib."""

    width: int
    height: int
    packed: bytes


class DecodingPool:
    """A few processes that decode images. Any thread may use it.

    A caller waits for a place; who comes first has it first.
    """

    def __init__(self, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._places = Semaphore(_PROCESSES)
        self._lock = Lock()
        self._idle: list[subprocess.Popen[bytes]] = []
        self._children: set[subprocess.Popen[bytes]] = set()

    def decode(self, data: bytes, *, longest: int, most_pixels: int) -> Pixels:
        """Return the pixels of an image file. Raises UndecodableImage."""
        with self._places:
            with self._lock:
                child = self._idle.pop() if self._idle else None
            child = child or self._start()
            is_kept = False
            try:
                pixels, is_kept = self._ask(child, data, longest, most_pixels)
            except (OSError, EOFError):
                raise UndecodableImage(
                    "it could not be decoded within the time and memory that an image "
                    "may take"
                ) from None
            finally:
                if is_kept:
                    with self._lock:
                        self._idle.append(child)
                else:
                    self._end(child)
            if isinstance(pixels, UndecodableImage):
                raise pixels
            return pixels

    def close(self) -> None:
        """End the processes."""
        for child in list(self._children):
            self._end(child)
        self._idle.clear()

    def _start(self) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [sys.executable, "-m", process.__name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Nothing of the server's environment: it may hold secrets.
            env={"PYTHONPATH": python_path()},
        )
        self._children.add(child)
        return child

    def _ask(
        self, child: subprocess.Popen[bytes], data: bytes, longest: int, most: int
    ) -> tuple[Pixels | UndecodableImage, bool]:
        """Return the answer to a job, and whether the process is of further use.

        Raises OSError or EOFError if the process died.
        """
        source, sink = child.stdout, child.stdin
        assert source is not None  # noqa: S101  # pipes
        assert sink is not None  # noqa: S101
        watch = Timer(self._timeout_s, child.kill)
        watch.start()
        try:
            sink.write(JOB.pack(longest, most, len(data)) + data)
            sink.flush()
            kind, ends, width, height, size = ANSWER.unpack(
                _exactly(source, ANSWER.size)
            )
            content = _exactly(source, size)
        finally:
            watch.cancel()
        if kind == process.PIXELS:
            return Pixels(width, height, content), not ends
        failure = TooLargeImage if kind == process.TOO_LARGE else UndecodableImage
        return failure(content.decode("utf-8", "replace")), not ends

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        self._children.discard(child)
        child.kill()
        # What it has not read cannot be written any more.
        with suppress(OSError), child:
            """Its pipes are closed, and its end is waited for."""


@cache
def decoding_pool() -> DecodingPool:
    """Return this process's pool."""
    pool = DecodingPool()
    atexit.register(pool.close)
    return pool


def _exactly(source: IO[bytes], size: int) -> bytes:
    data = source.read(size)
    if len(data) < size:
        raise EOFError
    return data
