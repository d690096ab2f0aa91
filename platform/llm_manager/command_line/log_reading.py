"""Reads the log's files: the last lines, and those that come."""

from __future__ import annotations

import io
import os
import re
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from llm_manager.lib.log.json_lines import as_members

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_POLL_S = 0.2
#: A line as the setting LOGGING formats it.
_LINE = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(?P<ms>\d{3}) "
    r"(?P<level>[A-Z]+) (?P<logger>[\w.]+): (?P<message>.*)\n?"
)


def last_lines(file: Path, count: int, model: str | None) -> Iterator[str]:
    """Yield the last lines of the log, from its older files too."""
    kept: deque[str] = deque(maxlen=count)
    is_about = _Subject(model)
    for each in _oldest_first(file):
        with each.open(encoding="utf-8", errors="replace") as lines:
            kept.extend(line.rstrip("\n") for line in lines if is_about(line))
    yield from kept


def follow_log(file: Path, count: int, model: str | None) -> Iterator[str]:
    """Yield the last lines, then each new one, also after a new file has begun."""
    is_about = _Subject(model)
    current = _GrowingFile(file)
    try:
        kept: deque[str] = deque(maxlen=count)
        for each in _oldest_first(file):
            if current.is_at(each):
                break
            with each.open(encoding="utf-8", errors="replace") as lines:
                kept.extend(line.rstrip("\n") for line in lines if is_about(line))
        kept.extend(filter(is_about, current.new_lines()))
        yield from kept
        while True:
            yield from filter(is_about, current.new_lines())
            # Between the two renames of a rotation there is no file.
            if current.is_at(file) or not file.exists():
                time.sleep(_POLL_S)
            else:
                yield from filter(is_about, current.last_lines())
                current.close()
                current = _GrowingFile(file)
    finally:
        current.close()


def as_object(line: str) -> dict[str, Any]:
    """Return the parts of a line; one in no known form is a message alone."""
    members = as_members(line)
    if members is not None:
        return members
    found = _LINE.fullmatch(line)
    if found is None:
        return {"time": None, "level": None, "logger": None, "message": line}
    return {
        "time": f"{found['time'].replace(' ', 'T')}.{found['ms']}Z",
        "level": found["level"].lower(),
        "logger": found["logger"],
        "message": found["message"],
    }


class _GrowingFile:
    """A file that is written meanwhile. Its last line may be begun only."""

    def __init__(self, file: Path) -> None:
        self._stream = file.open("rb")
        self._begun = b""

    def new_lines(self) -> Iterator[str]:
        """Yield the lines that are whole now, and have not been yielded."""
        while part := self._stream.readline():
            self._begun += part
            if part.endswith(b"\n"):
                yield from self._take()

    def last_lines(self) -> Iterator[str]:
        """Yield what nobody goes on with: another file has taken its place."""
        yield from self.new_lines()
        yield from self._take()

    def is_at(self, file: Path) -> bool:
        """Whether it is this file; it is renamed when a new one begins."""
        try:
            return os.path.samestat(os.fstat(self._stream.fileno()), file.stat())
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Close it."""
        self._stream.close()

    def _take(self) -> Iterator[str]:
        text, self._begun = self._begun.decode("utf-8", "replace"), b""
        for line in io.StringIO(text, newline=None):
            yield line.rstrip("\n")


def _oldest_first(file: Path) -> list[Path]:
    older = [
        each for each in file.parent.glob(f"{file.name}.*") if each.suffix[1:].isdigit()
    ]
    older.sort(key=lambda each: int(each.suffix[1:]), reverse=True)
    return [*older, file]


class _Subject:
    """Whether a line names a model, or goes on with a line that does."""

    def __init__(self, model: str | None) -> None:
        name = re.escape(model or "")
        # Not the beginning of a longer name, as of `model.Q4_0`.
        self._name = re.compile(rf"(?<![\w.-]){name}(?![\w-]|\.\w)")
        self._is_any = model is None
        self._was_about = False

    def __call__(self, line: str) -> bool:
        if self._is_any:
            return True
        if self._name.search(line):
            self._was_about = True
        elif _LINE.match(line) or line.startswith("{"):
            self._was_about = False
        return self._was_about
