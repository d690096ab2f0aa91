"""`llm-manager server`: starts every process in order, restarts and stops them."""

from __future__ import annotations

import os
import shutil
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_manager.launcher import banner, data_dir, listening, project, redis_process
from llm_manager.launcher.child_process import ChildProcess, say
from llm_manager.launcher.errors import StartupError, explain
from llm_manager.launcher.files.address import published
from llm_manager.launcher.files.log import log_kept
from llm_manager.launcher.readiness import READY_TIMEOUT_S, Readiness
from llm_manager.launcher.stop_signals import StopRequested, StopSignals
from llm_manager.lib.clocks.whole_times import until_next

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from llm_manager.config.schema import Config

#: Give up on a process that dies this often before the server is ready.
MAX_EXITS_AT_START = 3
#: Time for a process to exit, after the time for its requests.
EXIT_TIMEOUT_S = 10.0
SECOND_SIGNAL_TIMEOUT_S = 3.0
CLOSE_TIMEOUT_S = 3.0
#: A web process that shows no life for this long hangs, and is started again.
WEB_SILENT_S = 10.0
#: An engine process gets more time: its workers serve without it, and end with it.
ENGINE_SILENT_S = 60.0
#: If all processes are silent at once, the machine stands still, and not they.
ALL_SILENT_S = 60.0
#: Processes that exit wake the launcher. It looks for those that hang: seldom while all
#: have shown life since the last look but one, as they do every three seconds.
_LOOK_EVERY_S = 1.0
_LOOK_AT_REST_S = 3.0
_POLL_S = 0.02
_ENGINE_POLL_S = 0.1


def manage(*arguments: str) -> tuple[str, ...]:
    """Return the command line that runs a management command."""
    # -P: the working directory is not searched for modules.
    return (sys.executable, "-P", "-m", "llm_manager", *arguments)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the launcher runs besides Redis; a web process also gets ``--fd N``."""

    engine_command: Sequence[str] = manage("run_engine")
    web_command: Sequence[str] = manage("web")
    is_engine_ready: Callable[[int], bool] = project.is_engine_ready
    web_silent_s: float = WEB_SILENT_S
    engine_silent_s: float = ENGINE_SILENT_S


def serve(config: Config, *, quickstart: bool, parts: Parts | None = None) -> int:
    """Run the platform until a signal stops it; return the exit status."""
    # Files, above all the database, are readable only by their owner.
    os.umask(0o077)
    with StopSignals() as signals:
        launcher = Launcher(config, signals, parts or Parts(), quickstart=quickstart)
        try:
            signals.raising = True
            launcher.start()
            signals.raising = False
            launcher.watch()
        except StopRequested:
            pass
        except Exception as error:
            known = explain(error, config.data_dir)
            if known is None:
                raise
            say(str(known))
            return 1
        finally:
            signals.raising = False
            launcher.stop()
    return 0


class Launcher:
    """Redis, engine and web processes of one data directory."""

    def __init__(
        self, config: Config, signals: StopSignals, parts: Parts, *, quickstart: bool
    ) -> None:
        self._config = config
        self._signals = signals
        self._parts = parts
        self._quickstart = quickstart
        self._redis: ChildProcess | None = None
        self._engine: ChildProcess | None = None
        self._web: list[ChildProcess] = []
        #: The processes that hung at the last look.
        self._hung: list[ChildProcess] = []
        self._socket: socket.socket | None = None
        self._resources = ExitStack()

    @property
    def children(self) -> list[ChildProcess]:
        """The processes that were started, in that order."""
        parts = [self._redis, self._engine, *self._web]
        return [child for child in parts if child is not None]

    # Start ------------------------------------------------------------------

    def start(self) -> None:
        """Start every process and print the banner. Raises StartupError and others."""
        config = self._config
        host, port = config.server.host, config.server.port
        # First the steps that fail fast, then the slow ones.
        data_dir.prepare(config.data_dir)
        self._resources.enter_context(data_dir.locked(config.data_dir))
        self._keep_log()
        self._socket = listening.listen(host, port)
        project.project_set_up()
        if self._quickstart:
            self._put_sample()
        self._start_redis()
        project.database_migrate()
        engine = self._start_engine()
        base_url = listening.base_url(host, port)
        lines = banner.ready_lines(base_url, auth_required=config.auth.required)
        if self._quickstart:
            lines += self._quickstart_lines(f"{base_url}/v1")
        elif config.auth.required and not project.has_key():
            lines += ["", *(f"  {line}" for line in banner.NO_KEY)]
        # When /health answers, the engine is ready too.
        self._wait_for_engine(engine)
        project.database_close()
        self._start_web(self._socket)
        Readiness(
            (listening.reachable_host(host), port),
            _host_name(config.server.allowed_hosts),
            self._signals,
            self._supervise_start,
        ).wait()
        self._resources.enter_context(published(config.data_dir, base_url))
        print("\n".join(["", *lines, ""]), flush=True)  # noqa: T201

    def _keep_log(self) -> None:
        logging = self._config.logging
        as_json = logging.format == "json"
        if logging.to_files or as_json:
            kept = log_kept(
                self._config.logs_dir if logging.to_files else None,
                max_mb=logging.max_mb,
                files=logging.files,
                as_json=as_json,
            )
            self._resources.enter_context(kept)

    def _put_sample(self) -> None:
        from llm_manager.launcher.sample_model import put_sample

        put_sample(self._config.models_dir)

    def _start_redis(self) -> None:
        url = self._config.redis.url
        if url is not None:
            redis_process.ping(url)
            return
        self._redis = redis_process.private_redis(self._config.data_dir)
        self._redis.start()
        redis_process.wait_for_private(
            self._redis, self._config.data_dir, self._signals
        )

    def _start_engine(self) -> ChildProcess:
        self._engine = ChildProcess(
            "engine",
            self._parts.engine_command,
            silent_after_s=self._parts.engine_silent_s,
            has_spare=self._config.server.spare_processes,
        )
        self._engine.start()
        return self._engine

    def _quickstart_lines(self, api_url: str) -> list[str]:
        from llm_manager.launcher.quickstart import credentials_ensure, credentials_file
        from llm_manager.launcher.sample_model import name_sample

        with project.one_at_a_time():
            project.models_scan()
            sample = name_sample()
            credentials = credentials_ensure(
                data_dir=self._config.data_dir, base_url=api_url
            )
        return banner.quickstart_lines(
            credentials,
            model=sample or project.chat_model_name(),
            models_dir=self._config.models_dir,
            file=credentials_file(self._config.data_dir),
        )

    def _wait_for_engine(self, engine: ChildProcess) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while engine.pid is None or not self._parts.is_engine_ready(engine.pid):
            if time.monotonic() > deadline:
                raise StartupError(
                    f"The engine was not ready after {READY_TIMEOUT_S:g} s."
                )
            self._supervise_start()
            self._signals.wait(_ENGINE_POLL_S)

    def _start_web(self, sock: socket.socket) -> None:
        command = [*self._parts.web_command, "--fd", str(sock.fileno())]
        count = self._config.server.workers
        environment = {}
        if count > 1:
            environment = _shared_metrics(self._config.data_dir / "metrics")
        for number in range(1, count + 1):
            name = "web" if count == 1 else f"web {number}"
            child = ChildProcess(
                name,
                command,
                pass_fds=[sock.fileno()],
                environment=environment,
                silent_after_s=self._parts.web_silent_s,
                # Web processes that share a port stand in for each other.
                has_spare=self._config.server.spare_processes and count == 1,
            )
            self._web.append(child)
            child.start()

    # Run --------------------------------------------------------------------

    def watch(self) -> None:
        """Restart processes that exit or hang, until a signal arrives."""
        while not self._signals.count:
            self._end_hanging()
            delay = self._supervise()
            self._signals.wait(self._look_in_s if delay is None else delay)

    @property
    def _look_in_s(self) -> float:
        silences = [child.silent_s or 0.0 for child in self.children]
        is_silent = max(silences, default=0.0) > _LOOK_AT_REST_S + 0.5
        return _LOOK_EVERY_S if is_silent else until_next(_LOOK_AT_REST_S)

    def _end_hanging(self) -> None:
        """End the processes that hang, but not for a pause of the whole machine.

        After such a pause one process may show life a moment before the others: only
        one that hangs at two looks in a row is ended.
        """
        silences = [child.silent_s for child in self.children]
        known = [silence for silence in silences if silence is not None]
        if len(known) > 1 and WEB_SILENT_S / 2 < min(known) < ALL_SILENT_S:
            self._hung = []
            return
        hung = [child for child in self.children if child.hangs]
        for child in hung:
            if child in self._hung:
                child.end_hanging()
        self._hung = hung

    def _supervise(self) -> float | None:
        """Restart exited processes; return the seconds until the next restart."""
        delays = [child.supervise() for child in self.children]
        return min((delay for delay in delays if delay is not None), default=None)

    def _supervise_start(self) -> float | None:
        """Supervise; raise StartupError for a process that keeps exiting."""
        delay = self._supervise()
        for child in self.children:
            if child.exits >= MAX_EXITS_AT_START:
                raise StartupError(
                    f"The {child.name} process does not start; its messages are above."
                )
        return delay

    # Stop -------------------------------------------------------------------

    def stop(self) -> None:
        """Stop every process in order; a second signal shortens the waiting."""
        if self._signals.count and self._engine is not None:
            say(
                f"Stopping. Running requests have {self._config.engine.drain_timeout} "
                "s to finish; press Ctrl-C again to stop sooner."
            )
        self._stop_accepting()
        if self._engine is not None:
            drain_timeout_s = self._config.engine.drain_timeout
            self._stop_children([self._engine], drain_timeout_s + EXIT_TIMEOUT_S)
        # The engine is gone, so responses cannot continue: the second signal ends them.
        self._stop_children(self._web, EXIT_TIMEOUT_S)
        if self._redis is not None:
            self._stop_children([self._redis], EXIT_TIMEOUT_S)
        self._resources.close()

    def _stop_accepting(self) -> None:
        """Return when no web process accepts requests any more."""
        if self._socket is None:
            return
        # From here on only the web processes have copies of the socket.
        address = self._socket.getsockname()[:2]
        self._socket.close()
        for child in self._web:
            child.terminate()
        deadline = time.monotonic() + CLOSE_TIMEOUT_S
        while (
            not all(child.has_exited() for child in self._web)
            and time.monotonic() < deadline
            and listening.accepts(address)
        ):
            self._signals.wait(_POLL_S)

    def _stop_children(self, children: list[ChildProcess], timeout_s: float) -> None:
        """Terminate processes, wait for them, and kill what is left of their groups."""
        for child in children:
            child.terminate()
        deadline = time.monotonic() + timeout_s
        is_shortened = False
        while not all(child.has_exited() for child in children):
            if self._signals.count > 1 and not is_shortened:
                is_shortened = True
                deadline = min(deadline, time.monotonic() + SECOND_SIGNAL_TIMEOUT_S)
                for child in children:
                    child.terminate()
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                break
            self._signals.wait(remaining)
        for child in children:
            child.kill()


def _shared_metrics(folder: Path) -> dict[str, str]:
    """Return what lets the web processes share their metrics in a folder of files.

    Only they get it: an engine that is restarted would add its own counts.
    """
    # Files of an earlier start belong to processes that are gone.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return {"PROMETHEUS_MULTIPROC_DIR": str(folder)}


def _host_name(allowed_hosts: Sequence[str]) -> str:
    """Return a Host header that ALLOWED_HOSTS accepts."""
    first = allowed_hosts[0] if allowed_hosts else "*"
    return "localhost" if first == "*" else first.removeprefix(".")
