"""The log as JSON: one object a line, for programs that collect logs."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from llm_manager.lib.request_id import request_id
from llm_manager.lib.tracing.current import trace_id

if TYPE_CHECKING:
    from types import TracebackType

#: Members that every line has.
_ALWAYS = ("time", "level", "logger", "message")
#: Where ``logger.info(..., extra={FIELDS: …})`` has members of its own. Other extras
#: are not written: Django's have the whole request.
FIELDS = "fields"
_OUTSIDE = "-"


class JSONFormatter(logging.Formatter):
    """Writes a record as one line of JSON, its traceback inside."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": _time(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "pid": os.getpid(),
        }
        if request_id.get() != _OUTSIDE:
            line["request_id"] = request_id.get()
        if trace := trace_id():
            line["trace_id"] = trace
        if record.exc_info and record.exc_info[0] is not None:
            kind, error, _ = record.exc_info
            line["exception"] = {
                "type": kind.__qualname__,
                "message": str(error),
                "traceback": self.formatException(record.exc_info),
            }
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        line.update(getattr(record, FIELDS, {}))
        return as_line(line)


def as_line(members: dict[str, Any]) -> str:
    """Return an object as a line; what JSON does not know becomes text."""
    return json.dumps(members, ensure_ascii=False, default=str)


def as_members(line: str) -> dict[str, Any] | None:
    """Return the object that a line is, if it is one of this log."""
    if not line.startswith("{"):
        return None
    try:
        found = json.loads(line)
    except ValueError:
        return None
    if not isinstance(found, dict) or not all(name in found for name in _ALWAYS):
        return None
    return found


def foreign_line(text: str) -> str:
    """Return a line that another program wrote, as llama.cpp does, as an object."""
    now = _time(datetime.now(UTC).timestamp())
    return as_line({"time": now, "level": None, "logger": "stderr", "message": text})


def passed_on(members: dict[str, Any], **more: Any) -> logging.LogRecord:
    """Return the record of a line that another process wrote, with more members."""
    line = {**members, **more}
    level = logging.getLevelNamesMapping().get(str(line["level"]).upper(), logging.INFO)
    return logging.makeLogRecord(
        {
            "name": line["logger"],
            "levelno": level,
            "levelname": logging.getLevelName(level),
            "msg": line["message"],
            # Where it comes from is not known here: each message is a place of its own.
            "pathname": f"{line['logger']}: {line['message']}",
            FIELDS: line,
        }
    )


def log_what_python_prints() -> None:
    """Let warnings and the exception that ends the process be lines of the log."""
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_end


def _log_end(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger("llm_manager").critical(
        "The process ends by an exception", exc_info=(kind, error, trace)
    )


def _time(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
