"""Reads the log's files: the last lines, and those that come."""

from __future__ import annotations

import os
import re
import time
from collections import deque
from typing import TYPE_CHECKING, TextIO

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
    stream = file.open(encoding="utf-8", errors="replace")
    try:
        stream.seek(0, 2)
        yield from last_lines(file, count, model)
        is_about = _Subject(model)
        while True:
            yield from (line for line in _new_lines(stream) if is_about(line))
            if _is_replaced(stream, file):
                # What was written before the change is read above.
                stream.close()
                stream = file.open(encoding="utf-8", errors="replace")
            else:
                time.sleep(_POLL_S)
    finally:
        stream.close()


def as_object(line: str) -> dict[str, str | None]:
    """Return the parts of a line; one in no known form is a message alone."""
    found = _LINE.fullmatch(line)
    if found is None:
        return {"time": None, "level": None, "logger": None, "message": line}
    return {
        "time": f"{found['time'].replace(' ', 'T')}.{found['ms']}Z",
        "level": found["level"].lower(),
        "logger": found["logger"],
        "message": found["message"],
    }


def _new_lines(stream: TextIO) -> Iterator[str]:
    begun = ""
    while line := stream.readline():
        begun += line
        if begun.endswith("\n"):
            yield begun.rstrip("\n")
            begun = ""
        else:
            # Its end is not written yet.
            time.sleep(_POLL_S)


def _is_replaced(stream: TextIO, file: Path) -> bool:
    try:
        return os.fstat(stream.fileno()).st_ino != file.stat().st_ino
    except FileNotFoundError:
        # Between the two renames of a rotation.
        return False


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
        elif _LINE.match(line):
            self._was_about = False
        return self._was_about
