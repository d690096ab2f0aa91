"""``manage.py run_engine``: the engine process of this node."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from inference.node.machine_probe import machine_probe
from inference.node.supervisor import Supervisor
from inference.node.worker_rows import NodeTaken
from llm_manager.lib.processes.sign_of_life import show_life
from llm_manager.lib.processes.turn import turn
from llm_manager.lib.threads import in_one_thread

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Sequence


class Command(BaseCommand):
    help = (
        "Run this machine's engine, which loads and unloads models in a process each. "
        "SIGTERM or Ctrl-C stop it after running requests are finished."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the models to load at the start."""
        parser.add_argument(
            "--load",
            metavar="MODEL",
            action="append",
            default=[],
            help="Load this model at the start. May be given several times.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            asyncio.run(_run(options["load"]))
        except NodeTaken as error:
            raise CommandError(str(error)) from None


def _request_load(name: str) -> None:
    from inference.services import worker_request
    from registry.errors import ModelNotFound
    from registry.served_models import served_model

    try:
        worker_request(model=served_model(name), by="the start of the engine")
    except ModelNotFound as error:
        raise CommandError(str(error)) from None


async def _run(names: Sequence[str]) -> None:
    machine = await machine_probe()
    await turn()
    for name in names:
        await in_one_thread(_request_load, name)
    supervisor = Supervisor()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    life = asyncio.create_task(show_life())
    try:
        await supervisor.run(machine)
    finally:
        life.cancel()
