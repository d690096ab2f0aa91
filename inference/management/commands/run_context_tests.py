"""``manage.py run_context_tests``: the context tests that were asked for in the admin.

The engine process of a machine starts it when tests wait, and it exits when none is
left. It measures in a further process each.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from inference.context_test import journal
from inference.context_test.runner import Conditions, Interrupted, run_context_test
from inference.context_test.surroundings import (
    OtherTestsRun,
    only_tests_here,
    surroundings_now,
)
from inference.management.child_command import ChildCommand, stopping_by_signal
from registry.models import ContextTest

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.context_test.surroundings import Surroundings

logger = logging.getLogger(__name__)


class Command(ChildCommand):
    help = "Run the context tests that were requested in the admin, then exit."

    def work(self) -> None:
        is_stopping = stopping_by_signal()
        try:
            with only_tests_here():
                around = surroundings_now()
                journal.interrupted_tests_settle(around.host)
                while not is_stopping() and _run_next(around, is_stopping):
                    pass
        except OtherTestsRun as error:
            logger.info("%s", error)
        except Interrupted:
            logger.info("Context tests are interrupted; they go on later")


def _run_next(around: Surroundings, is_stopping: Callable[[], bool]) -> bool:
    """Run the next requested test; return whether there was one."""
    test = ContextTest.objects.for_engines().select_related("model").first()
    if test is None:
        return False
    if not journal.context_test_claim(test, around.host):
        return True
    minutes = test.budget_minutes
    deadline = time.monotonic() + 60 * minutes if minutes else None
    logger.info("Testing the contexts of %s", test)
    run_context_test(
        test, around, Conditions(deadline=deadline, is_stopping=is_stopping)
    )
    logger.info("%s: %s %s", test, test.state, test.reason)
    return True
