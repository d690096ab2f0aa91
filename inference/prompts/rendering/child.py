"""The child's end: ``python -m inference.prompts.rendering.child`` renders templates.

It reads jobs from its standard input and writes answers to its standard output until
the input ends. The kernel ends it when one job takes too much of the processor: a
comparison in C holds the interpreter's lock, so no thread of its own could.
"""

from __future__ import annotations

import resource
import signal
import sys
from typing import Any

from inference.prompts.rendering.compiled_template import (
    TemplateFailure,
    compiled_template,
)
from inference.prompts.rendering.frames import PipeClosed, read_frame, write_frame
from inference.prompts.rendering.limits import CPU_SECONDS, MEMORY_BYTES


def main() -> None:
    """Answer jobs until standard input ends."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    # No dumps of memory, no files.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    # A terminal's Ctrl-C reaches every process; this one ends with its input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Without a handler of Python's: that would wait for the interpreter's lock.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    source, answers = sys.stdin.fileno(), sys.stdout.fileno()
    while True:
        try:
            job = read_frame(source)
        except PipeClosed:
            return
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        answer = _answer(job)
        signal.setitimer(signal.ITIMER_PROF, 0)
        try:
            write_frame(answers, answer)
        except PipeClosed:
            return


def _answer(job: dict[str, Any]) -> dict[str, Any]:
    try:
        template = compiled_template(job["source"])
        if "context" not in job:
            return {"variables": template.variables}
        return {"text": template.render(job["context"], job["max_chars"])}
    except TemplateFailure as failure:
        return {"failure": str(failure)}


if __name__ == "__main__":
    main()
