"""Parses large and compressed bodies in processes, fair between clients."""

from __future__ import annotations

import atexit
import marshal
import subprocess
import sys
from collections import deque
from concurrent.futures import Future
from functools import cache
from threading import Condition, Thread, Timer
from typing import IO, TYPE_CHECKING, Any, TypeVar

from inference.api.body import parsing_process as process
from inference.api.body.parsing_process import ANSWER, JOB
from inference.api.errors import BadRequest, BodyTooLarge
from llm_manager.lib.processes.native_memory import return_free_memory
from llm_manager.lib.processes.python_path import python_path

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

#: The least bytes that are parsed elsewhere: less is done in two milliseconds.
MIN_BYTES = 128 * 1024
#: The second one is started when the first is busy.
_PROCESSES = 2
#: 10 MiB of the dearest JSON take some 2 s on a slow core.
_TIMEOUT_S = 15.0


class _ProcessFailed(Exception):
    """The process died, or was killed because it took too long."""


class _Job:
    def __init__(
        self, data: bytes, encoding: str, limit: int, use: Callable[[Any], Any]
    ) -> None:
        self.data = data
        self.encoding = encoding
        self.limit = limit
        self.use = use
        self.future: Future[Any] = Future()


class ParsingPool:
    """A few processes that parse bodies; clients with waiting bodies take turns.

    A thread for each process has one value at a time: it also makes of the value what
    is kept.
    """

    def __init__(self, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._changed = Condition()
        #: The waiting jobs by client; the first client's turn is next.
        self._waiting: dict[str, deque[_Job]] = {}
        self._idle = 0
        self._threads = 0
        self._is_closed = False
        self._processes: set[subprocess.Popen[bytes]] = set()

    def parse(
        self,
        data: bytes,
        use: Callable[[Any], _T],
        *,
        client: str,
        limit: int,
        encoding: str = "",
    ) -> Future[_T]:
        """Return what ``use`` will make of the value of a body, which may be packed.

        The exceptions are BadRequest, BodyTooLarge and those of ``use``.
        """
        job = _Job(data, encoding, limit, use)
        with self._changed:
            self._waiting.setdefault(client, deque()).append(job)
            if not self._idle and self._threads < _PROCESSES:
                self._threads += 1
                Thread(target=self._work, name="parsing", daemon=True).start()
            self._changed.notify()
        return job.future

    def close(self) -> None:
        """End the processes."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for child in list(self._processes):
            child.kill()

    def _work(self) -> None:
        child: subprocess.Popen[bytes] | None = None
        while (job := self._next()) is not None:
            if not job.future.set_running_or_notify_cancel():
                continue
            child = child or self._start()
            answer, ends = None, False
            try:
                answer, ends = self._ask(child, job)
                job.future.set_result(_used(answer, job))
            except _ProcessFailed:
                ends = True
                job.future.set_exception(_too_complex())
            except BadRequest as error:
                # The frames that it came through hold the value.
                error.__context__ = None
                job.future.set_exception(error.with_traceback(None))
            except Exception as error:
                job.future.set_exception(error)
            if ends:
                self._end(child)
                child = None
            # Or the last one would stay until the next comes.
            del job, answer
            return_free_memory()
        if child is not None:
            self._end(child)

    def _next(self) -> _Job | None:
        with self._changed:
            self._idle += 1
            while not self._waiting and not self._is_closed:
                self._changed.wait()
            self._idle -= 1
            if self._is_closed:
                return None
            client = next(iter(self._waiting))
            jobs = self._waiting.pop(client)
            job = jobs.popleft()
            if jobs:
                # The client's next turn comes after everybody else's.
                self._waiting[client] = jobs
            return job

    def _start(self) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [sys.executable, "-m", process.__name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Nothing of the server's environment: it may hold secrets.
            env={"PYTHONPATH": python_path()},
        )
        self._processes.add(child)
        return child

    def _ask(
        self, child: subprocess.Popen[bytes], job: _Job
    ) -> tuple[tuple[bytes, bytes], bool]:
        """Return the answer to a job, and whether the process is of use no more.

        Raises _ProcessFailed.
        """
        source, sink = child.stdout, child.stdin
        assert source is not None  # noqa: S101  # pipes
        assert sink is not None  # noqa: S101
        name = job.encoding.encode("ascii")
        watch = Timer(self._timeout_s, child.kill)
        watch.start()
        try:
            sink.write(JOB.pack(len(name), len(job.data), job.limit) + name)
            sink.write(job.data)
            sink.flush()
            job.data = b""
            kind, ends, size = ANSWER.unpack(_exactly(source, ANSWER.size))
            answer = _exactly(source, size)
        except (OSError, EOFError):
            raise _ProcessFailed from None
        finally:
            watch.cancel()
        return (kind, answer), ends

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        self._processes.discard(child)
        child.kill()
        with child:
            """Its pipes are closed, and its end is waited for."""


@cache
def parsing_pool() -> ParsingPool:
    """Return this process's pool."""
    pool = ParsingPool()
    atexit.register(pool.close)
    return pool


def _exactly(source: IO[bytes], size: int) -> bytes:
    data = source.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _used(answer: tuple[bytes, bytes], job: _Job) -> Any:
    """Return what is made of an answer's value. Raises what ``parse`` says."""
    kind, content = answer
    if kind == process.VALUE:
        return job.use(marshal.loads(content))  # noqa: S302  # from our own process
    reason = content.decode("utf-8", "replace")
    if kind == process.NO_JSON:
        raise malformed(reason)
    if kind == process.NO_ENCODING:
        raise BadRequest(
            f"The body is not valid {job.encoding}: {reason}.", code="invalid_encoding"
        )
    if kind == process.TOO_LARGE:
        raise BodyTooLarge(job.limit)
    raise BadRequest(reason, code="too_many_values")


def _too_complex() -> BadRequest:
    return BadRequest(
        "The body could not be parsed within the time and memory that a request may "
        "take.",
        code="body_too_complex",
    )


def malformed(reason: str) -> BadRequest:
    """Return the error of a body that is not JSON."""
    return BadRequest(f"The body is not valid JSON: {reason}.", code="invalid_json")
