"""``manage.py run_file_server``: sends this node's model files to other nodes.

The engine process of a machine starts it where ``nodes.listen`` is set.
"""

from __future__ import annotations

import asyncio
import signal

from django.conf import settings
from django.core.management.base import CommandError

from inference.management.child_command import ChildCommand
from llm_manager.lib.threads import in_thread
from llm_manager.lib.tunnel.addresses import host_and_port
from registry.models import ModelCopy
from registry.scan.folders import resolve_root
from registry.services import configured_roots
from registry.sharing.byte_rate import ByteRate
from registry.sharing.messages import shared_secret
from registry.sharing.server import FileServer, SharedFiles

_MIB = 1024 * 1024


class Command(ChildCommand):
    help = "Send the model files of this machine to other nodes, until stopped."

    def work(self) -> None:
        asyncio.run(_serve(settings.CONFIG.nodes.listen))


async def _serve(address: str) -> None:
    server = FileServer(
        shared_secret(settings.SECRET_KEY),
        _find,
        [str(resolve_root(root)) for root in configured_roots()],
        ByteRate(settings.CONFIG.nodes.pull_mb_per_s * _MIB),
    )
    try:
        listening = await server.listen(*host_and_port(address))
    except OSError as error:
        raise CommandError(f"{address}: {error.strerror} (nodes.listen).") from None
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()
    listening.close()


async def _find(fingerprint: str) -> SharedFiles | None:
    return await in_thread(_reported, fingerprint)


def _reported(fingerprint: str) -> SharedFiles | None:
    copy = ModelCopy.objects.here().filter(fingerprint=fingerprint).first()
    if copy is None:
        return None
    return SharedFiles(copy.paths, copy.size, copy.mtime_ns)
