"""The results of a batch: two files of JSON lines, which are its journal too.

A result is one line, which is appended by one ``write``: the kernel has it then, and
outlives this process. Who goes on with the batch reads which lines have a result. The
files are locked while they are open, and the kernel frees the lock of a process that
has died: nobody writes beside another.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class ResultsTaken(Exception):
    """Another process has the results open."""


@dataclass(slots=True)
class Usage:
    """The tokens of all answers."""

    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0

    def add(self, body: Any) -> None:
        """Add what an answer says of its tokens, in the words of its API."""
        usage = body.get("usage") if isinstance(body, dict) else None
        if not isinstance(usage, dict):
            return
        number: Any = usage.get
        self.input += number("input_tokens", number("prompt_tokens", 0))
        self.output += number("output_tokens", number("completion_tokens", 0))
        before = usage.get("input_tokens_details", usage.get("prompt_tokens_details"))
        after = usage.get(
            "output_tokens_details", usage.get("completion_tokens_details")
        )
        self.cached += (before or {}).get("cached_tokens", 0)
        self.reasoning += (after or {}).get("reasoning_tokens", 0)

    def object(self) -> dict[str, Any]:
        """Return OpenAI's object."""
        return {
            "input_tokens": self.input,
            "input_tokens_details": {"cached_tokens": self.cached},
            "output_tokens": self.output,
            "output_tokens_details": {"reasoning_tokens": self.reasoning},
            "total_tokens": self.input + self.output,
        }


@dataclass(slots=True)
class BatchResults:
    """The output and error files of one batch, open for appending.

    ``done`` are the numbers of the lines that have a result.
    """

    batch_id: str
    output: Path
    errors: Path
    done: set[int] = field(default_factory=set)
    completed: int = 0
    failed: int = 0
    usage: Usage = field(default_factory=Usage)
    _writing: threading.Lock = field(default_factory=threading.Lock)
    _output_fd: int = -1
    _errors_fd: int = -1

    def __enter__(self) -> Self:
        """Open the files and read which lines have a result. Raises ResultsTaken."""
        try:
            self._output_fd = _locked(self.output)
            self._errors_fd = _locked(self.errors)
            for value in _kept(self.output, self._output_fd):
                self.completed += 1
                self.usage.add(value["response"]["body"])
                self._note(value)
            for value in _kept(self.errors, self._errors_fd):
                self.failed += 1
                self._note(value)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def add_answer(
        self,
        number: int,
        custom_id: str,
        *,
        status: int,
        request_id: str,
        body: Any,
        left_out: str = "",
    ) -> None:
        """Write the answer to a line. Raises OSError."""
        response = {"status_code": status, "request_id": request_id, "body": body}
        if left_out:
            # In an answer by itself it is a header.
            response["left_out"] = left_out
        is_answer = 200 <= status < 300
        value = self._line(number, custom_id, response=response)
        with self._writing:
            self._append(self._output_fd if is_answer else self._errors_fd, value)
            self.done.add(number)
            if is_answer:
                self.completed += 1
                self.usage.add(body)
            else:
                self.failed += 1

    def add_error(self, number: int, custom_id: str, code: str, message: str) -> None:
        """Write why a line has no answer. Raises OSError."""
        error = {"code": code, "message": message}
        value = self._line(number, custom_id, error=error)
        with self._writing:
            self._append(self._errors_fd, value)
            self.done.add(number)
            self.failed += 1

    def close(self) -> None:
        """Close the files, and free them; a result that is being written comes first.

        Idempotent.
        """
        with self._writing:
            for fd in (self._output_fd, self._errors_fd):
                if fd >= 0:
                    os.close(fd)
            self._output_fd = self._errors_fd = -1

    def _line(
        self, number: int, custom_id: str, *, response: Any = None, error: Any = None
    ) -> dict[str, Any]:
        """Return OpenAI's object of a result; its id ends with the line's number."""
        batch = self.batch_id.removeprefix("batch_")
        return {
            "id": f"batch_req_{batch}_{number}",
            "custom_id": custom_id,
            "response": response,
            "error": error,
        }

    def _note(self, value: dict[str, Any]) -> None:
        self.done.add(int(value["id"].rpartition("_")[2]))

    @staticmethod
    def _append(fd: int, value: dict[str, Any]) -> None:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        data = memoryview(text.encode("utf-8", "replace") + b"\n")
        before = os.lseek(fd, 0, os.SEEK_END)
        try:
            while data:
                data = data[os.write(fd, data) :]
        except OSError:
            # Half a line would be taken for the beginning of the next one.
            os.ftruncate(fd, before)
            raise


def _locked(path: Path) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise ResultsTaken from None
    return fd


def _kept(path: Path, fd: int) -> Iterator[dict[str, Any]]:
    """Yield the whole lines of a file; cut off half a line at its end."""
    size = 0
    with path.open("rb") as source:
        for text in source:
            if not text.endswith(b"\n"):
                break
            yield json.loads(text)
            size += len(text)
    os.ftruncate(fd, size)
