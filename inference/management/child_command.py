"""A command that the engine process of a machine starts, and that ends with it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand

from llm_manager.lib.processes.parent_death import end_with_parent

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable


class ChildCommand(BaseCommand):
    """Does its ``work`` until that is over or its parent is gone."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the option that names the parent."""
        parser.add_argument(
            "--parent", type=int, metavar="PID", help="End when this process is gone."
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Do the work."""
        if options["parent"]:
            end_with_parent(options["parent"], signal.SIGTERM)
        self.work()

    def work(self) -> None:
        """Do what the command is for. It may raise CommandError."""
        raise NotImplementedError


def stopping_by_signal() -> Callable[[], bool]:
    """Return whether SIGTERM or SIGINT has come, which end the process no more."""
    is_stopping = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal is_stopping
        is_stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    return lambda: is_stopping
