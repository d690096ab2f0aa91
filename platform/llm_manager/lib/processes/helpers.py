"""Small processes that do what is risky, and can be killed."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from threading import Lock, Timer
from typing import IO, TYPE_CHECKING, Any, TypeVar

from llm_manager.lib.processes.fair_threads import FairThreads
from llm_manager.lib.processes.python_path import python_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future
    from struct import Struct

_T = TypeVar("_T")


class HelperFailed(Exception):
    """The process died, or was killed because it took too long."""


class Helper:
    """A process that runs a module, reads jobs from a pipe and writes answers to one.

    An answer is a header and its content. The header's second number says whether the
    process ends with it, its last one how many bytes of content follow.
    """

    def __init__(self, module: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Nothing of the server's environment: it may hold secrets.
            env={"PYTHONPATH": python_path()},
        )
        self.is_spent = False

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def ask(
        self, job: Iterable[bytes], header: Struct, *, timeout_s: float
    ) -> tuple[tuple[Any, ...], bytes]:
        """Return the header and the content of the answer to a job.

        Raises HelperFailed.
        """
        source, sink = self._process.stdout, self._process.stdin
        assert source is not None  # noqa: S101  # pipes
        assert sink is not None  # noqa: S101
        watch = Timer(timeout_s, self._process.kill)
        # Until the whole answer is there, whatever goes wrong.
        self.is_spent = True
        watch.start()
        try:
            for piece in job:
                sink.write(piece)
            sink.flush()
            numbers = header.unpack(_exactly(source, header.size))
            content = _exactly(source, numbers[-1])
        except (OSError, EOFError):
            raise HelperFailed from None
        finally:
            watch.cancel()
        self.is_spent = numbers[1]
        return numbers, content

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        # What it has not read cannot be written any more.
        with suppress(OSError), self._process:
            """Its pipes are closed, and its end is waited for."""


class HelperPool:
    """A few processes of one module, each started when the others are busy.

    Clients whose jobs wait take turns, and a client has one job at a time: so one
    process is always there for others.
    """

    def __init__(self, module: str, *, processes: int, name: str) -> None:
        self._module = module
        self._threads = FairThreads(name, threads=processes)
        self._lock = Lock()
        self._idle: list[Helper] = []
        self._helpers: set[Helper] = set()

    @property
    def pids(self) -> set[int]:
        """The processes that there are."""
        with self._lock:
            return {helper.pid for helper in self._helpers}

    def submit(self, client: str, job: Callable[[Helper], _T]) -> Future[_T]:
        """Return what ``job`` will make of the answers of a process, in a thread."""
        return self._threads.submit(client, lambda: self._run(job))

    def close(self) -> None:
        """End the processes."""
        self._threads.close()
        with self._lock:
            helpers, self._helpers = self._helpers, set()
        for helper in helpers:
            helper.close()

    def _run(self, job: Callable[[Helper], _T]) -> _T:
        helper = self._take()
        try:
            return job(helper)
        finally:
            self._put_back(helper)

    def _take(self) -> Helper:
        """Return a process that is idle, or a new one."""
        with self._lock:
            while self._idle:
                helper = self._idle.pop()
                if not helper.has_ended:
                    return helper
                # The system has killed it since its last job, for its memory.
                self._helpers.discard(helper)
                helper.close()
            helper = Helper(self._module)
            self._helpers.add(helper)
            return helper

    def _put_back(self, helper: Helper) -> None:
        with self._lock:
            if not helper.is_spent:
                self._idle.append(helper)
                return
            self._helpers.discard(helper)
        helper.close()


def _exactly(source: IO[bytes], size: int) -> bytes:
    data = source.read(size)
    if len(data) < size:
        raise EOFError
    return data
