"""A process that has loaded its program and waits to take another one's place.

Most of a restart is Python reading modules: seconds of the processor, and many more of
them on the clock of a machine that computes answers meanwhile.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from llm_manager.lib.processes.turn import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_manager.launcher.children.spawning import Spawned


class Spare:
    """The spare of one child.

    ``spawn`` starts the child's program with more descriptors and variables.
    """

    def __init__(
        self, spawn: Callable[[tuple[int, ...], dict[str, str]], Spawned]
    ) -> None:
        self._spawn = spawn
        self._waiting: Spawned | None = None
        self._go = -1

    @property
    def is_there(self) -> bool:
        """Whether a process waits, or is about to."""
        return self._waiting is not None and not self._waiting.has_exited()

    def prepare(self) -> None:
        """Start a process that waits, if there is none. Raises OSError."""
        if self.is_there:
            return
        self.end()
        turn, go = os.pipe2(os.O_CLOEXEC)
        try:
            self._waiting = self._spawn((turn,), {VARIABLE: str(turn)})
        except OSError:
            os.close(go)
            raise
        finally:
            os.close(turn)
        self._go = go

    def take(self) -> Spawned | None:
        """Let the process that waits go on as the child; return it if there is one."""
        if not self.is_there:
            self.end()
            return None
        spawned, self._waiting = self._waiting, None
        try:
            os.write(self._go, b".")
        except BrokenPipeError:
            # It ended just now: whoever watches it notices.
            pass
        finally:
            os.close(self._go)
        return spawned

    def end(self) -> None:
        """End the process that waits."""
        if self._waiting is not None:
            os.close(self._go)
            self._waiting.reap()
            self._waiting = None
