"""How a spare process waits for its turn, after it has loaded its program."""

from __future__ import annotations

import asyncio
import os
import sys

from llm_manager.lib.processes.sign_of_life import show_once

#: The variable with the descriptor of the pipe on which the turn is given. It is no
#: setting, so it has not the settings' prefix.
VARIABLE = "LLMM_TURN_FD"


def wait_for_turn() -> None:
    """Return when it is this process's turn: at once, unless it is a spare.

    The process exits if its parent ends the pipe instead.
    """
    pipe = _pipe()
    if pipe is not None:
        _take(pipe)


async def turn() -> None:
    """Do as ``wait_for_turn`` in an event loop."""
    pipe = _pipe()
    if pipe is not None:
        loop, is_readable = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(pipe, is_readable.set)
        await is_readable.wait()
        loop.remove_reader(pipe)
        _take(pipe)


def _pipe() -> int | None:
    descriptor = os.environ.pop(VARIABLE, None)
    if descriptor is None:
        return None
    # It has loaded its program: from its turn on silence counts.
    show_once()
    return int(descriptor)


def _take(pipe: int) -> None:
    is_given = os.read(pipe, 1)
    os.close(pipe)
    if not is_given:
        sys.exit(0)
