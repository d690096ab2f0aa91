"""The log as JSON: an object a line, with all that belongs to it inside."""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING, Any

import pytest

from llm_manager.lib.log.json_lines import (
    FIELDS,
    JSONFormatter,
    as_members,
    foreign_line,
    log_what_python_prints,
    passed_on,
)
from llm_manager.lib.request_id import request_id
from llm_manager.lib.tracing.current import traceparent

if TYPE_CHECKING:
    from collections.abc import Iterator

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What the logger ``test.json`` writes."""
    written: list[str] = []
    handler = logging.Handler()
    handler.setFormatter(JSONFormatter())
    handler.emit = lambda record: written.append(handler.format(record))  # type: ignore[method-assign]
    logger = logging.getLogger("test.json")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield written
    logger.removeHandler(handler)


logger = logging.getLogger("test.json")


def only(lines: list[str]) -> dict[str, Any]:
    (line,) = lines
    assert "\n" not in line
    found: dict[str, Any] = json.loads(line)
    return found


def test_a_line_has_its_time_level_logger_message_and_process(lines: list[str]) -> None:
    logger.warning("Redis at %s is away", "host\nX-Forged: line")
    line = only(lines)
    assert line["message"] == "Redis at host\nX-Forged: line is away"
    assert line["level"] == "warning"
    assert line["logger"] == "test.json"
    assert line["time"].endswith("Z")
    assert line["time"][10] == "T"
    assert line["pid"] > 0
    assert "request_id" not in line
    assert "trace_id" not in line


def test_a_line_of_a_request_names_it_and_its_trace(lines: list[str]) -> None:
    request_id.set("abc-1")
    traceparent.set(f"00-{TRACE}-00f067aa0ba902b7-01")
    try:
        logger.info("found", extra={FIELDS: {"status": 200}})
    finally:
        request_id.set("-")
        traceparent.set("")
    line = only(lines)
    assert (line["request_id"], line["trace_id"]) == ("abc-1", TRACE)
    assert line["status"] == 200


def test_a_traceback_is_inside_the_object(lines: list[str]) -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logger.exception("It failed")
    error = only(lines)["exception"]
    assert error["type"] == "ValueError"
    assert error["message"] == "two\nlines"
    assert "test_json_lines.py" in error["traceback"]


def test_what_other_packages_add_to_their_records_is_left_out(lines: list[str]) -> None:
    logger.error("Bad Request", extra={"request": "secret", "status_code": 400})
    assert "secret" not in lines[0]


def test_a_line_of_another_program_becomes_an_object() -> None:
    line = foreign_line('ggml: "out" of memory')
    members = as_members(line)
    assert members is not None
    assert members["message"] == 'ggml: "out" of memory'
    assert members["logger"] == "stderr"
    assert as_members("{not json") is None
    assert as_members('{"message": "of another log"}') is None
    assert as_members("[]") is None


def test_a_workers_line_is_passed_on_as_the_worker_wrote_it(lines: list[str]) -> None:
    logger.error("It failed", extra={FIELDS: {"request_id": "abc-1", "pid": 7}})
    members = as_members(lines.pop())
    assert members is not None
    logger.handle(passed_on(members, model="tiny"))
    assert only(lines) == {**members, "model": "tiny"}


def test_an_exception_that_ends_the_process_is_a_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    log_what_python_prints()
    logging.captureWarnings(capture=False)
    error = RuntimeError("no more")
    sys.excepthook(RuntimeError, error, None)
    (record,) = caplog.records
    assert record.levelname == "CRITICAL"
    assert record.exc_info is not None
    assert record.exc_info[1] is error
