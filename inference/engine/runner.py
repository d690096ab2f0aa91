"""The one engine thread: commands in by a queue, outputs out by a callback."""

from __future__ import annotations

import logging
import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.engine.core import EngineCore
from inference.engine.output import EngineStats, SequenceOutput

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.engine.backend import Backend
    from inference.engine.sampling_params import SamplingParams

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Add:
    """Queue a sequence."""

    request_id: str
    prompt: list[int]
    params: SamplingParams
    resume: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Cancel:
    """End these requests before the next step."""

    request_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Stop:
    """Leave the loop."""


class EngineRunner:
    """Owns the thread that loads the model and does nothing but steps.

    Everything that touches the engine is a command to this thread, so the
    engine needs no lock and a step never waits for anyone. The callbacks are
    called on the engine thread: ``on_ready`` with the loaded backend,
    ``on_outputs`` once per step, ``on_failed`` with the error that ended it.
    """

    def __init__(
        self,
        load: Callable[[], Backend],
        *,
        on_ready: Callable[[Backend], None],
        on_outputs: Callable[[list[SequenceOutput]], None],
        on_failed: Callable[[BaseException], None],
    ) -> None:
        self._load = load
        self._on_ready = on_ready
        self._on_outputs = on_outputs
        self._on_failed = on_failed
        self._commands: queue.SimpleQueue[Add | Cancel | _Stop] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        #: The newest statistics; replaced whole, so any thread may read it.
        self.stats = EngineStats()

    def start(self) -> None:
        """Start the thread; it loads the model first."""
        self._thread.start()

    def send(self, command: Add | Cancel) -> None:
        """Hand a command to the engine thread; returns at once."""
        self._commands.put(command)

    def stop(self, timeout_s: float | None = None) -> None:
        """End the thread after its step and free the model."""
        self._commands.put(_Stop())
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            backend = self._load()
        except BaseException as error:
            self._on_failed(error)
            return
        core = EngineCore(backend)
        try:
            self.stats = core.stats()
            self._on_ready(backend)
            while self._take_commands(core):
                outputs = core.step()
                self.stats = core.stats()
                if outputs:
                    self._on_outputs(outputs)
        except BaseException as error:
            logger.exception("The engine loop failed")
            self._on_failed(error)
        finally:
            core.close()

    def _take_commands(self, core: EngineCore) -> bool:
        """Apply what has come in, waiting only if there is no work; False to stop."""
        block = not core.has_work
        if block:
            core.check_integrity()
        while True:
            try:
                command = self._commands.get(block=block)
            except queue.Empty:
                return True
            match command:
                case Add():
                    core.add(
                        command.request_id,
                        command.prompt,
                        command.params,
                        command.resume,
                    )
                    block = False
                case Cancel():
                    core.abort(command.request_ids)
                    self.stats = core.stats()
                    block = not core.has_work
                case _Stop():
                    return False
