"""How a process shows the launcher that its event loop runs."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

from llm_manager.lib.clocks.whole_times import until_next

#: The variable with the descriptor of the pipe to the launcher. It is no setting, so
#: it has not the settings' prefix.
VARIABLE = "LLMM_LIFE_FD"
#: When a node that is alone writes its heartbeat, so that both take one wake-up.
EVERY_S = 3.0


def show_once() -> None:
    """Write a byte to the launcher, if there is one, before any event loop runs."""
    descriptor = os.environ.get(VARIABLE)
    if descriptor is not None:
        with suppress(OSError):
            os.write(int(descriptor), b".")


async def show_life() -> None:
    """Write a byte to the launcher regularly; return if there is no launcher."""
    descriptor = os.environ.pop(VARIABLE, None)
    if descriptor is None:
        return
    pipe = int(descriptor)
    # A launcher that stands still does not read.
    os.set_blocking(pipe, False)
    while True:
        try:
            os.write(pipe, b".")
        except BlockingIOError:
            pass
        except OSError:
            return
        await asyncio.sleep(until_next(EVERY_S))
