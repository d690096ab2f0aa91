"""The engine thread: takes commands from a queue, returns outputs by callbacks."""

from __future__ import annotations

import logging
import queue
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from inference.engine.core import EngineCore
from inference.engine.output import EngineStats
from inference.engine.sequence import Arrival
from inference.engine.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from inference.engine.request import ComputeRequest
    from inference.engine.scheduling.pacing.measured import Measured

logger = logging.getLogger(__name__)


#: After this many idle seconds background work is done.
_TIDY_AFTER_S = 1.0
#: After this many idle seconds a grown context is shrunk.
_REST_AFTER_S = 300.0


@dataclass(frozen=True, slots=True)
class Add:
    """Queue a request, which came when this was made if nothing else is said."""

    request: ComputeRequest
    arrival: Arrival = field(default_factory=Arrival)


@dataclass(frozen=True, slots=True)
class Cancel:
    """Abort these requests before the next step."""

    request_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Stop:
    """End the thread's loop."""


class Core(Protocol):
    """What runs requests on a loaded model, step by step, such as EngineCore."""

    telemetry: Telemetry
    wait_s: float
    """For how long the next step is to wait for a command; 0 if it is not."""

    @property
    def has_work(self) -> bool:
        """Whether a step has something to compute."""

    def add(self, request: Any, arrival: Arrival, /) -> None:
        """Queue a request that had this arrival."""

    def abort(self, request_ids: Iterable[str]) -> None:
        """Abort these requests before the next step."""

    def step(self) -> list[Any]:
        """Run one step; return its outputs."""

    def warm_up(self) -> Measured | None:
        """Prepare what would make the first request slow.

        Return what was measured, if the next load of the model need not measure it.
        """

    def tidy(self) -> float | None:
        """Do some background work; return the seconds after which to call again.

        Returns None if nothing is left to do until the next request.
        """

    def rest(self) -> None:
        """Free memory that is not needed; to be called after a while idle."""

    def stats(self) -> EngineStats:
        """Return the state and totals."""

    def check_integrity(self) -> None:
        """Raise AssertionError unless the core's bookkeeping is consistent."""

    def close(self) -> None:
        """Free the model. Idempotent."""


class EngineRunner:
    """Owns the thread that loads the model and runs its steps.

    Everything that touches the engine is a command to this thread, so the engine needs
    no lock and a step never waits for anyone. The callbacks are called on the engine
    thread: ``on_ready`` with the loaded backend, ``on_outputs`` once per step,
    ``on_failed`` with the error that ended it. ``make_core`` returns the core that runs
    requests on the backend.
    """

    def __init__(
        self,
        load: Callable[[], Any],
        *,
        on_ready: Callable[[Any], None],
        on_outputs: Callable[[list[Any]], None],
        on_failed: Callable[[BaseException], None],
        make_core: Callable[[Any], Core] = EngineCore,
    ) -> None:
        self._load = load
        self._make_core = make_core
        self._on_ready = on_ready
        self._on_outputs = on_outputs
        self._on_failed = on_failed
        self._commands: queue.SimpleQueue[Add | Cancel | _Stop] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        #: The newest statistics; replaced as a whole, so any thread may read them.
        self.stats = EngineStats()
        #: The engine's telemetry, once the model is loaded.
        self.telemetry = Telemetry()
        #: What the warm-up has measured, once the model is loaded.
        self.measured: Measured | None = None

    def start(self) -> None:
        """Start the thread; it loads the model first."""
        self._thread.start()

    def send(self, command: Add | Cancel) -> None:
        """Send a command to the engine thread; returns at once."""
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
        core = self._make_core(backend)
        self.telemetry = core.telemetry
        try:
            self.measured = core.warm_up()
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

    def _take_commands(self, core: Core) -> bool:
        """Apply queued commands; False to stop.

        Waits for one if there is no work, and for a moment if the core says so.
        """
        block = not core.has_work
        if block:
            core.check_integrity()
        patience: float | None = _TIDY_AFTER_S
        wait_s = core.wait_s
        while True:
            longest_s = (patience or _REST_AFTER_S) if block else wait_s
            try:
                command = self._commands.get(block or wait_s > 0, longest_s)
            except queue.Empty:
                if not block:
                    return True
                if patience is not None:
                    patience = core.tidy()
                else:
                    core.rest()
                self.stats = core.stats()
                continue
            match command:
                case Add(request, arrival):
                    core.add(request, arrival)
                    block, wait_s = False, 0.0
                case Cancel():
                    core.abort(command.request_ids)
                    wait_s = 0.0
                    self.stats = core.stats()
                    block = not core.has_work
                case _Stop():
                    return False
