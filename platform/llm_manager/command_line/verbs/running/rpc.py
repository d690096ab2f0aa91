"""``llm-manager rpc``: lends this machine to models of other machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from llm_manager.command_line.environment import set_environment
from llm_manager.command_line.options import places

if TYPE_CHECKING:
    from inference.capacity.machine import Machine

_MIB = 2**20
#: Of the memory that is free at the start. A choice.
_MEMORY_SHARE = 0.85


@click.command()
@click.option(
    "--host",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    help="Private address to listen on.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=50_052,
    show_default=True,
    help="Port; 0 is any that is free.",
)
@click.option(
    "--threads",
    type=click.IntRange(0, 512),
    default=0,
    help="Threads that compute (default: one per physical core).",
)
@click.option(
    "--memory-mb",
    type=click.IntRange(min=1),
    help="Most memory that a model may take, of each GPU if there are any, in MiB "
    "(default: 85 % of what is free now).",
)
@places
def command(
    *,
    host: str,
    port: int,
    threads: int,
    memory_mb: int | None,
    config: str | None,
    data_dir: str | None,
) -> None:
    """Lend this machine's memory and processors to a model of another machine.

    That machine names it in rpc.servers, and a model in its RPC servers. It serves one
    model at a time. llama.cpp's protocol has no authentication, so it comes through a
    tunnel only: TLS, and a secret that both sides prove to know, rpc.secret
    (LLM_MANAGER_RPC_SECRET). Both need the same version. docs/rpc.md says more.
    """
    set_environment(config=config, data_dir=data_dir)
    import asyncio
    import logging

    from inference.rpc.addresses import why_not_listen
    from inference.rpc.messages import LEAST_SECRET
    from llm_manager.command_line.exit_status import CommandFailed
    from llm_manager.config.reading import load_config

    secret = load_config().rpc.secret
    if len(secret) < LEAST_SECRET:
        raise CommandFailed(
            f"Set rpc.secret (LLM_MANAGER_RPC_SECRET) to {LEAST_SECRET} characters or "
            "more, the same here and where models run: `openssl rand -hex 32`."
        )
    if reason := why_not_listen(host):
        raise CommandFailed(reason)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    memory = (memory_mb or 0) * _MIB
    asyncio.run(_serve(secret, host, port, threads, memory))


async def _serve(secret: str, host: str, port: int, threads: int, memory: int) -> None:
    import asyncio
    import signal

    from inference.node.machine_probe import machine_probe
    from inference.rpc.listener import RpcListener
    from llm_manager.command_line.exit_status import CommandFailed
    from llm_manager.lib.units import human_bytes

    machine = await machine_probe()
    devices = lent_devices(machine, memory)
    server = RpcListener(
        secret,
        devices,
        n_threads=threads,
        memory_bytes=0 if machine.gpus else devices[0]["free"],
    )
    try:
        listening = await server.listen(host, port)
    except OSError as error:
        raise CommandFailed(f"{host}:{port}: {error.strerror}.") from None
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    bound = listening.sockets[0].getsockname()[1]
    what = ", ".join(
        f"{each['description'] or each['name']}, {human_bytes(each['free'])}"
        for each in devices
    )
    click.echo(f"RPC server on {host}:{bound}: {what}")
    await stopped.wait()
    listening.close()
    await server.close()


def lent_devices(machine: Machine, memory: int) -> tuple[dict[str, Any], ...]:
    """Return what a machine lends: its GPUs, or its processor if it has none.

    ``memory`` is the most of each in bytes, 0 what is free.
    """
    import psutil

    if machine.gpus:
        return tuple(
            {
                "name": gpu.name,
                "description": gpu.description,
                "total": gpu.total,
                "free": min(gpu.free, memory or gpu.free),
            }
            for gpu in machine.gpus
        )
    found = psutil.virtual_memory()
    free = memory or int(found.available * _MEMORY_SHARE)
    cpu = {"name": "CPU", "description": machine.cpu, "total": found.total}
    return ({**cpu, "free": free},)
