"""Faults that repeat: the first lines are written, and how many more there were."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.conf import settings

from llm_manager.lib.log.repeats import RepeatLimit, WithoutTraceback
from tests.fakes import Clock


class Log:
    """A handler that keeps what it would write."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.lines: list[str] = []
        self.handler = logging.Handler()
        self.handler.emit = lambda record: self.lines.append(  # type: ignore[method-assign]
            record.getMessage()
        )
        self.handler.addFilter(RepeatLimit(clock=self.clock))
        # Not one of the process: each test has its own.
        self.logger = logging.Logger("test")  # noqa: LOG001
        self.logger.addHandler(self.handler)

    def fail(self, number: int) -> None:
        self.logger.error("The disk is full: %s", number)


@pytest.fixture
def log() -> Log:
    return Log()


def test_of_one_fault_three_lines_are_written_in_half_a_minute(log: Log) -> None:
    for number in range(2495):
        log.fail(number)
        log.clock.now += 0.01
    assert log.lines == [f"The disk is full: {number}" for number in range(3)]


def test_the_next_line_says_how_many_were_left_out(log: Log) -> None:
    for number in range(10):
        log.fail(number)
    log.clock.now += 31
    log.fail(10)
    assert log.lines[-1] == "The disk is full: 10 (and 7 more like it)"


def test_another_fault_is_written_meanwhile(log: Log) -> None:
    for number in range(10):
        log.fail(number)
    log.logger.warning("Redis is away")
    assert log.lines[-1] == "Redis is away"


@pytest.mark.parametrize("has_traceback", [True, False])
def test_another_exception_is_another_fault_at_the_same_place(
    log: Log, *, has_traceback: bool
) -> None:
    def report(error: Exception) -> None:
        if has_traceback:
            log.logger.error("Request failed", exc_info=error)
        else:
            log.logger.warning("Request failed: %s", error)

    for _ in range(10):
        report(KeyError("a"))
    report(ValueError("b"))
    assert len(log.lines) == 4


def test_exceptions_of_one_type_are_apart_if_another_line_raises_them(log: Log) -> None:
    def raises(number: int) -> None:
        try:
            if number < 10:
                raise KeyError(number)
            raise KeyError(number)
        except KeyError:
            log.logger.exception("Request %s failed", number)

    for number in range(11):
        raises(number)
    assert log.lines == [f"Request {number} failed" for number in (0, 1, 2, 10)]


def test_what_is_no_fault_is_not_limited(log: Log) -> None:
    for number in range(10):
        log.logger.info("request %s", number)
    assert len(log.lines) == 10


def test_the_projects_log_is_limited() -> None:
    handlers: Any = settings.LOGGING["handlers"]
    assert handlers["stderr"]["filters"] == ["repeats"]


def test_where_the_traceback_says_nothing_the_error_is_one_line() -> None:
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(  # type: ignore[method-assign]
        logging.Formatter().format(record)
    )
    # Not one of the process: each test has its own.
    logger = logging.Logger("test")  # noqa: LOG001
    logger.addHandler(handler)
    logger.addFilter(WithoutTraceback())
    try:
        raise ConnectionError("Connection refused")
    except ConnectionError:
        logger.exception("Unexpected exception in receive task")
    logger.error("Without one")
    assert lines == [
        "Unexpected exception in receive task: Connection refused",
        "Without one",
    ]
