"""The helper's end of ``helpers``: answers jobs until there are no more."""

from __future__ import annotations

import os
import resource
import sys
from typing import IO, TYPE_CHECKING, Any

from llm_manager.lib.processes.own_memory import resident_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from struct import Struct

#: Requests that are served must not wait for a job.
_NICENESS = 5


def answer_jobs(
    job: Struct,
    answer: Struct,
    answer_to: Callable[..., tuple[Any, ...]],
    *,
    memory_bytes: int,
    kept_bytes: int,
) -> None:
    """Answer the jobs of standard input until it ends.

    ``answer_to`` is called with the input, from which it reads the job, and with the
    numbers of the job's header; it returns those of the answer's, without the second
    and the last, and the content.

    The process has ``memory_bytes`` of address space. After a job that leaves it with
    more than ``kept_bytes`` in memory it ends, and gives them back.
    """
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    # A dump of its memory would be a file of what clients have sent.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    source: IO[bytes] = sys.stdin.buffer
    sink: IO[bytes] = sys.stdout.buffer
    while header := source.read(job.size):
        first, *others, content = answer_to(source, *job.unpack(header))
        is_spent = resident_bytes() > kept_bytes
        sink.write(answer.pack(first, is_spent, *others, len(content)))
        sink.write(content)
        sink.flush()
        if is_spent:
            return
        # Or it would stay until the next job is answered.
        del content
