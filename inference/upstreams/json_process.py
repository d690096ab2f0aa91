"""A small process that reads and writes large JSON: `python -m` this module.

A web process has hundreds of streams, which would wait meanwhile. It has neither Django
nor a database.

Of each job it reads a header (length) and a list by marshal: what is to be done, and
with what. It answers with a header (whether it could, whether the process ends, length)
and the result by marshal. It ends when its input does.
"""

from __future__ import annotations

import json
import marshal
import struct
from typing import IO, TYPE_CHECKING, Any

from inference.upstreams.answers import read_whole
from llm_manager.lib.processes.helper_jobs import answer_jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Bytes of the job.
JOB = struct.Struct(">Q")
#: Whether it could, whether the process ends with it, bytes of the result.
ANSWER = struct.Struct(">??Q")
#: Faster than later versions, which look for the same value twice.
MARSHAL = 2

#: Address space. The largest answers are vectors, which take less than their JSON.
_MEMORY_BYTES = 2 * 1024**3
#: After a job that leaves it with more, the process ends and gives that back.
_KEPT_BYTES = 64 * 1024**2


def dumped(value: Any) -> bytes:
    """Return a value as JSON; half a surrogate pair becomes a question mark."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


JOBS: Mapping[str, Callable[..., Any]] = {
    "write": dumped,
    "parse": json.loads,
    "whole": read_whole,
}


def answer_to(job: bytes) -> tuple[bool, bytes]:
    """Return whether a job could be done, and its result."""
    try:
        name, *arguments = marshal.loads(job)  # noqa: S302  # from our own process
        return True, marshal.dumps(JOBS[name](*arguments), MARSHAL)
    except (ValueError, RecursionError, MemoryError):
        return False, b""


def _answer_next(source: IO[bytes], size: int) -> tuple[bool, bytes]:
    return answer_to(source.read(size))


if __name__ == "__main__":
    answer_jobs(
        *(JOB, ANSWER, _answer_next), memory_bytes=_MEMORY_BYTES, kept_bytes=_KEPT_BYTES
    )
