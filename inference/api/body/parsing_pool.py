"""Parses large and compressed bodies in processes, fair between clients."""

from __future__ import annotations

import atexit
import marshal
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from inference.api.body import parsing_process as process
from inference.api.body.parsing_process import ANSWER, JOB
from inference.api.errors import BadRequest, BodyTooLarge
from llm_manager.lib.processes.helpers import HelperFailed, HelperPool
from llm_manager.lib.processes.native_memory import return_free_memory

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from llm_manager.lib.processes.helpers import Helper

_T = TypeVar("_T")

#: The least bytes that are parsed elsewhere: less is done in two milliseconds.
MIN_BYTES = 128 * 1024
_PROCESSES = 2
#: 10 MiB of the dearest JSON take some 2 s on a slow core.
_TIMEOUT_S = 15.0


class ParsingPool:
    """A few processes that parse bodies; clients with waiting bodies take turns.

    A thread for each process has one value at a time: it also makes of the value what
    is kept.
    """

    def __init__(
        self, *, processes: int = _PROCESSES, timeout_s: float = _TIMEOUT_S
    ) -> None:
        self._timeout_s = timeout_s
        self._helpers = HelperPool(
            process.__name__, processes=processes, name="parsing"
        )

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
        # Taken out as they are written, so that the body is not kept.
        name = encoding.encode("ascii")
        job = [data, name, JOB.pack(len(name), len(data), limit)]

        def answered(helper: Helper) -> _T:
            pieces = (job.pop() for _ in range(len(job)))
            (kind, *_), content = helper.ask(pieces, ANSWER, timeout_s=self._timeout_s)
            return _used(kind, content, limit, encoding, use)

        def parsed(helper: Helper) -> _T:
            try:
                return answered(helper)
            except HelperFailed:
                raise _too_complex() from None
            except BadRequest as error:
                # The frames that it came through hold the value.
                error.__context__ = None
                raise error.with_traceback(None)  # noqa: B904
            finally:
                return_free_memory()

        return self._helpers.submit(client, parsed)

    def close(self) -> None:
        """End the processes."""
        self._helpers.close()


@cache
def parsing_pool() -> ParsingPool:
    """Return this process's pool for the bodies of requests."""
    return _until_exit(ParsingPool())


@cache
def line_parsing_pool() -> ParsingPool:
    """Return this process's pool for lines of batches: no live body waits for them."""
    return _until_exit(ParsingPool(processes=1))


def _until_exit(pool: ParsingPool) -> ParsingPool:
    atexit.register(pool.close)
    return pool


def _used(
    kind: bytes, content: bytes, limit: int, encoding: str, use: Callable[[Any], _T]
) -> _T:
    """Return what is made of an answer's value. Raises what ``parse`` says."""
    if kind == process.VALUE:
        return use(marshal.loads(content))  # noqa: S302  # from our own process
    reason = content.decode("utf-8", "replace")
    if kind == process.NO_JSON:
        raise malformed(reason)
    if kind == process.NO_ENCODING:
        raise BadRequest(
            f"The body is not valid {encoding}: {reason}.", code="invalid_encoding"
        )
    if kind == process.TOO_LARGE:
        raise BodyTooLarge(limit)
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
