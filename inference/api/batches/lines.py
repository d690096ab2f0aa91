"""The lines of an input file: what each of them asks for, and what is wrong with it."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from inference.api.body.parsing_pool import MIN_BYTES, line_parsing_pool
from inference.api.body.strict_json import MalformedJSON, parse_json
from inference.api.errors import BadRequest
from llm_manager.lib.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from inference.api.batches.objects import BatchFault

#: Faults that are reported; others of the same file are not looked for.
MAX_FAULTS = 100
_MAX_ID = 512
_ID_MEMBER = re.compile(rb'"custom_id"\s*:\s*("[^"\\\x00-\x1f]{1,512}")')
_MEMBERS = ("body", "custom_id", "method", "url")


@dataclass(frozen=True, slots=True)
class BatchLine:
    """A request of a batch; ``number`` counts the lines of the file from 1."""

    number: int
    custom_id: str
    body: dict[str, Any]


class LineFault(Exception):
    """What is wrong with a line."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param

    def at(self, number: int | None) -> BatchFault:
        """Return the fault as OpenAI's object has it."""
        return {
            "code": self.code,
            "message": str(self),
            "param": self.param,
            "line": number,
        }


@dataclass(frozen=True, slots=True)
class WrongLine:
    """A line that cannot be answered, and why; ``custom_id`` is "" if it has none."""

    number: int
    custom_id: str
    fault: LineFault


def read_lines(source: IO[bytes], *, max_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank, each with its number.

    A line of more than ``max_bytes`` is cut, one byte behind them.
    """
    number = 0
    while text := source.readline(max_bytes + 1):
        number += 1
        rest = text
        while len(rest) > max_bytes and not rest.endswith(b"\n"):
            # What follows belongs to the same line.
            rest = source.readline(max_bytes + 1)
            if not rest:
                break
        if text.strip():
            yield number, text


def parse_line(number: int, text: bytes, endpoint: str, *, max_bytes: int) -> BatchLine:
    """Return what a line asks for. Raises LineFault."""
    if len(text) > max_bytes:
        raise LineFault(
            "line_too_large",
            f"This line has more than {max_bytes:,} bytes, which is the most of a "
            "request's body.",
        )
    if number == 1:
        # Windows' editors begin a file with a byte order mark.
        text = text.removeprefix(b"\xef\xbb\xbf")
    try:
        value = _value(text, max_bytes)
    except MalformedJSON as error:
        raise LineFault(
            "invalid_json_line", f"This line is not valid JSON: {error}."
        ) from None
    except BadRequest as error:
        raise LineFault("invalid_json_line", error.message) from None
    if not isinstance(value, dict):
        raise LineFault("invalid_json_line", "This line is not a JSON object.")
    for name in _MEMBERS:
        if name not in value:
            raise LineFault(
                "missing_required_parameter",
                f"Missing required parameter: '{name}'.",
                name,
            )
    for name in value:
        if name not in _MEMBERS:
            raise LineFault(
                "unknown_parameter", f"Unknown parameter: '{quote(name)}'.", quote(name)
            )
    return BatchLine(number, _custom_id(value["custom_id"]), _body(value, endpoint))


def custom_id_in(text: bytes) -> str:
    """Return the custom_id of a line that cannot be parsed; "" if none is found."""
    found = _ID_MEMBER.search(text)
    return "" if found is None else str(json.loads(found[1]))


def _value(text: bytes, max_bytes: int) -> Any:
    """Return the value of a line; a long one is parsed where it holds nobody up."""
    if len(text) < MIN_BYTES:
        return parse_json(text)
    parsing = line_parsing_pool().parse(
        text, lambda value: value, client="batches", limit=max_bytes
    )
    return parsing.result()


def _custom_id(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_ID:
        raise LineFault(
            "invalid_value",
            f"Invalid value for 'custom_id': it must be a text of 1 to {_MAX_ID} "
            "characters.",
            "custom_id",
        )
    return value


def _body(value: dict[str, Any], endpoint: str) -> dict[str, Any]:
    if value["method"] != "POST":
        raise LineFault(
            "invalid_method", "Invalid value for 'method': it must be POST.", "method"
        )
    if value["url"] != endpoint:
        raise LineFault(
            "url_mismatch",
            f"'url' is not the endpoint of the batch, which is '{endpoint}'.",
            "url",
        )
    body = value["body"]
    if not isinstance(body, dict):
        raise LineFault(
            "invalid_value", "Invalid value for 'body': it must be an object.", "body"
        )
    for name in ("stream", "background"):
        if body.get(name):
            raise LineFault(
                "unsupported_value",
                f"'body.{name}' is not supported in a batch, whose answers are whole.",
                f"body.{name}",
            )
    if not isinstance(body.get("model"), str):
        raise LineFault(
            "missing_required_parameter",
            "Missing required parameter: 'body.model'.",
            "body.model",
        )
    return body


@dataclass(slots=True)
class Examination:
    """Looks at all lines of a file; ``find_model`` raises LineFault for a name."""

    endpoint: str
    max_bytes: int
    max_lines: int
    find_model: Callable[[str], None]
    faults: list[BatchFault] = field(default_factory=list)
    total: int = 0
    models: set[str] = field(default_factory=set)
    _ids: set[bytes] = field(default_factory=set)
    _unknown: dict[str, LineFault] = field(default_factory=dict)

    def examine(self, source: IO[bytes]) -> None:
        """Fill ``faults`` and ``total``."""
        for number, text in read_lines(source, max_bytes=self.max_bytes):
            self.total += 1
            if self.total > self.max_lines:
                self.faults.append(
                    LineFault(
                        "too_many_tasks",
                        f"The file has more than {self.max_lines} requests, which is "
                        "the most of a batch (batches.max_lines).",
                    ).at(number)
                )
                return
            try:
                self._look_at(number, text)
            except LineFault as fault:
                self.faults.append(fault.at(number))
                if len(self.faults) == MAX_FAULTS:
                    return
        if not self.total:
            empty = LineFault("empty_file", "The file has no requests.")
            self.faults.append(empty.at(None))

    def _look_at(self, number: int, text: bytes) -> None:
        line = parse_line(number, text, self.endpoint, max_bytes=self.max_bytes)
        # Their digests: ids may be long, and there may be fifty thousand.
        digest = hashlib.sha256(line.custom_id.encode("utf-8", "replace")).digest()[:16]
        if digest in self._ids:
            raise LineFault(
                "duplicate_custom_id",
                f"The custom_id '{quote(line.custom_id)}' is another line's, too.",
                "custom_id",
            )
        self._ids.add(digest)
        self._check_model(line.body["model"])

    def _check_model(self, name: str) -> None:
        if name in self._unknown:
            raise self._unknown[name]
        if name in self.models:
            return
        try:
            self.find_model(name)
        except LineFault as fault:
            self._unknown[name] = fault
            raise
        self.models.add(name)
