"""Messages to the engine processes of all machines: what they should look at now."""

from __future__ import annotations

import platform
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import channel_layers
from redis.exceptions import RedisError

#: The group of all engines. A message to it only means "read the rows now".
ENGINE_GROUP = "engines"
ENGINE_WAKE = "engine.wake"
#: Another one: "scan your models directories", with the host that has scanned its own.
ENGINE_SCAN = "engine.scan"
#: Another one: "look which files are there", with the host whose engine it is for.
ENGINE_FILES = "engine.files"


def engine_wake() -> None:
    """Ask engines to read the rows now; they do so every few seconds anyway."""
    async_to_sync(wake_engines)()


def engines_scan() -> None:
    """Ask engines to look at their models directories, after a scan of this machine's.

    Without Redis they do when they start, and when they watch their folders.
    """
    message = {"type": ENGINE_SCAN, "host": platform.node()}
    async_to_sync(_send_to_engines)(message)


def engine_files() -> None:
    """Ask the engine of this machine to look which model files it has."""
    message = {"type": ENGINE_FILES, "host": platform.node()}
    async_to_sync(_send_to_engines)(message)


async def wake_engines() -> None:
    """Ask engines to read the rows now."""
    await _send_to_engines({"type": ENGINE_WAKE})


async def _send_to_engines(message: dict[str, Any]) -> None:
    try:
        await channel_layers["default"].group_send(ENGINE_GROUP, message)
    except (OSError, RedisError):
        return
