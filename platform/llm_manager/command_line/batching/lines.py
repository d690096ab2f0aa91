"""The input of a batch on disk, and the output that is there already."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from inference.api.batches.lines import (
    BatchLine,
    Examination,
    parse_line,
    read_lines,
)
from llm_manager.command_line.exit_status import CommandFailed, ExitStatus
from llm_manager.lib.quoting import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: A file for the server is checked there by its own limits.
_MAX_LINES = 10_000_000
_MAX_BYTES = 64 * 1024 * 1024
_SHOWN_FAULTS = 10


@dataclass(frozen=True, slots=True)
class BatchInput:
    """A file of requests that are all right, and for one endpoint."""

    path: Path
    endpoint: str
    total: int
    models: frozenset[str]

    def lines(self, without: set[str]) -> Iterator[tuple[BatchLine, bytes]]:
        """Yield each line with its text, but those with these custom_ids."""
        with self.path.open("rb") as source:
            for number, text in read_lines(source, max_bytes=_MAX_BYTES):
                line = parse_line(number, text, self.endpoint, max_bytes=_MAX_BYTES)
                if line.custom_id not in without:
                    yield line, text.rstrip(b"\n") + b"\n"


def read_input(path: Path) -> BatchInput:
    """Return a file of requests. Raises CommandFailed for what is wrong with it."""
    try:
        with path.open("rb") as source:
            endpoint = _endpoint(source)
            source.seek(0)
            look = Examination(endpoint, _MAX_BYTES, _MAX_LINES, lambda _: None)
            look.examine(source)
    except OSError as error:
        raise CommandFailed(str(error), ExitStatus.WRONG_USAGE) from None
    if look.faults:
        shown = [
            f"line {fault['line']}: {printable(fault['message'])}"
            if fault["line"]
            else printable(fault["message"])
            for fault in look.faults[:_SHOWN_FAULTS]
        ]
        more = len(look.faults) - len(shown)
        rest = [f"and {more} more lines."] if more else []
        raise CommandFailed(
            f"{path} cannot be run:\n" + "\n".join([*shown, *rest]),
            ExitStatus.WRONG_USAGE,
        )
    return BatchInput(path, endpoint, look.total, frozenset(look.models))


def _endpoint(source: IO[bytes]) -> str:
    """Return the endpoint that the first line names; what is wrong comes later."""
    for _, text in read_lines(source, max_bytes=_MAX_BYTES):
        try:
            url = json.loads(text.removeprefix(b"\xef\xbb\xbf"))["url"]
        except (ValueError, KeyError, TypeError):
            break
        return url if isinstance(url, str) else ""
    return ""


class BatchOutput:
    """The file of results; ``answered`` are the custom_ids that have an answer.

    Results without an answer are tried again, and so left out of what is kept.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answered: set[str] = set()
        self.failed = 0

    def begin(self) -> None:
        """Read what is there; keep the answers. Raises CommandFailed."""
        if not self.path.exists():
            return
        try:
            with _replacing(self.path) as sink, self.path.open("rb") as source:
                for text in source:
                    if text.endswith(b"\n") and self._is_new(json.loads(text)):
                        sink.write(text)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CommandFailed(
                f"{self.path} is not an output that can be continued: {error}",
                ExitStatus.WRONG_USAGE,
            ) from None

    def add(self, value: dict[str, Any]) -> None:
        """Append a result."""
        with self.path.open("ab") as sink:
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            sink.write(text.encode("utf-8", "replace") + b"\n")
        self._note(value)

    def add_all(self, texts: Iterator[bytes]) -> None:
        """Append results, all of them or none, but for answers that are there."""
        with _replacing(self.path) as sink:
            if self.path.exists():
                with self.path.open("rb") as source:
                    for text in source:
                        sink.write(text)
            for text in texts:
                value = json.loads(text)
                if value["custom_id"] not in self.answered:
                    self._note(value)
                    sink.write(text if text.endswith(b"\n") else text + b"\n")

    def _is_new(self, value: dict[str, Any]) -> bool:
        if not _is_answer(value) or value["custom_id"] in self.answered:
            return False
        self.answered.add(value["custom_id"])
        return True

    def _note(self, value: dict[str, Any]) -> None:
        if _is_answer(value):
            self.answered.add(value["custom_id"])
        else:
            self.failed += 1


def _is_answer(value: dict[str, Any]) -> bool:
    response = value["response"]
    return response is not None and 200 <= response["status_code"] < 300


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """Yield a file that takes the place of this one at the end, or of none."""
    new = path.with_name(f"{path.name}.part")
    with new.open("wb") as sink:
        yield sink
        sink.flush()
        os.fsync(sink.fileno())
    new.replace(path)
