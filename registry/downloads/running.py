"""Runs downloads: in a process of the engine's, some at once, each in a thread.

Rows say how far they are. A process that is killed leaves rows that say "running" on
its host; the next one there goes on with them.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import timezone

from registry import services
from registry.downloads.parts import parts_tidy
from registry.downloads.progress import SpeedWindow
from registry.downloads.pulling import pull_files
from registry.downloads.requesting import network_policy
from registry.hub.disk import Room
from registry.hub.errors import DownloadFailed, DownloadStopped
from registry.hub.fetching import Fetcher
from registry.hub.network import checked_client
from registry.hub.parts import delete_part
from registry.hub.placing import PARTS, part_keys, wanted_files
from registry.models import Download, FileState, Model
from registry.scan.folders import resolve_root
from registry.scan.scanner import ScanOutcome
from registry.sharing.byte_rate import ByteRate

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx2

logger = logging.getLogger(__name__)

_State = Download.State
_MIB = 1024 * 1024
_BEAT_S = 1.0
#: The process stays for so long without work: another download begins at once then.
_LINGER_S = 15.0
#: How long downloads have to write that they stop.
_LAST_WORDS_S = 5.0


def in_daemon_thread(work: Callable[[], None]) -> None:
    """Do this in a thread, with a database connection of its own."""

    def call() -> None:
        try:
            work()
        finally:
            connection.close()

    threading.Thread(target=call, name="download", daemon=True).start()


@dataclass(slots=True)
class _Run:
    """A download that runs here, as its thread and the loop share it."""

    pk: int
    stop: threading.Event = field(default_factory=threading.Event)
    is_over: threading.Event = field(default_factory=threading.Event)
    size: int = 0
    total: int | None = None
    speed: SpeedWindow = field(default_factory=SpeedWindow)


class DownloadRunner:
    """Takes downloads and runs them until it is stopped or has nothing to do.

    ``start`` calls a function in a thread; ``fetched`` is called when files have come
    to their places.
    """

    def __init__(
        self,
        host: str,
        *,
        is_stopping: Callable[[], bool] = lambda: False,
        start: Callable[[Callable[[], None]], None] = in_daemon_thread,
        fetched: Callable[[], None] = lambda: None,
        linger_s: float = _LINGER_S,
        beat_s: float = _BEAT_S,
    ) -> None:
        self._host = host
        self._is_stopping = is_stopping
        self._start_work = start
        self._fetched = fetched
        self._linger_s = linger_s
        self._beat_s = beat_s
        self._runs: dict[int, _Run] = {}
        self._news = threading.Event()
        self._pull_rate = ByteRate(settings.CONFIG.nodes.pull_mb_per_s * _MIB)

    def run(self) -> None:
        """Run what waits, until there is nothing left or it is stopped."""
        idle_since = time.monotonic()
        try:
            parts_tidy()
            while not self._is_stopping():
                try:
                    self._take()
                    self._beat()
                except DatabaseError as error:
                    # Files go on coming meanwhile.
                    logger.warning("The database cannot be used now: %s", error)
                    connection.close()
                if self._runs:
                    idle_since = time.monotonic()
                elif time.monotonic() - idle_since >= self._linger_s:
                    return
                self._news.wait(self._beat_s)
                self._news.clear()
        finally:
            for run in self._runs.values():
                run.stop.set()
            # One whose server is silent is left: its row says that it runs, and what
            # has come of it is on the disk.
            deadline = time.monotonic() + _LAST_WORDS_S
            for run in self._runs.values():
                run.is_over.wait(max(deadline - time.monotonic(), 0))

    def _take(self) -> None:
        """Start what was cut off here, then what waits, as many as run at once."""
        for pk in [pk for pk, run in self._runs.items() if run.is_over.is_set()]:
            del self._runs[pk]
        found = [*Download.objects.cut_off(), *Download.objects.requested()]
        for download in found:
            if len(self._runs) >= settings.CONFIG.downloads.at_once:
                return
            if download.pk not in self._runs and self._claim(download):
                self._start(download)

    def _claim(self, download: Download) -> bool:
        now = timezone.now()
        mine = Download.objects.filter(pk=download.pk, state=download.state)
        return bool(
            mine.update(
                state=_State.RUNNING,
                node=self._host,
                seen_at=now,
                started_at=download.started_at or now,
            )
        )

    def _start(self, download: Download) -> None:
        run = _Run(download.pk, total=download.bytes_total)
        self._runs[download.pk] = run
        self._start_work(partial(self._work, run))

    def _beat(self) -> None:
        """Write how far each one is, and stop what somebody cancelled."""
        now = time.monotonic()
        for run in self._runs.values():
            if run.is_over.is_set():
                continue
            row = Download.objects.filter(pk=run.pk, state=_State.RUNNING)
            is_there = row.update(
                bytes_done=run.size,
                bytes_total=run.total,
                speed=run.speed.add(now, run.size),
                seen_at=timezone.now(),
            )
            if not is_there or row.filter(is_cancelled=True).exists():
                run.stop.set()

    # In a thread ------------------------------------------------------------------

    def _work(self, run: _Run) -> None:
        try:
            _run_one(run, self._pull_rate)
            self._fetched()
        except DatabaseError as error:
            # Its row says that it runs, so it is taken again; what is here stays.
            logger.warning("The database cannot be used now: %s", error)
        except Exception:
            logger.exception("A download ended unexpectedly")
            _finish_as(
                run, _State.FAILED, "An unexpected error; the server's log says which."
            )
        finally:
            run.is_over.set()
            self._news.set()


def _run_one(run: _Run, pull_rate: ByteRate) -> None:
    download = Download.objects.get(pk=run.pk)
    logger.info("Downloading %s", download)
    root = settings.MODELS_DIR

    def moved(size: int) -> None:
        run.size = size
        if run.stop.is_set():
            raise DownloadStopped

    def pause(seconds: float) -> None:
        if run.stop.wait(seconds):
            raise DownloadStopped

    def measured(size: int) -> None:
        run.total = size if run.total is None else run.total

    def fetcher(client: httpx2.Client) -> Fetcher:
        return Fetcher(
            client,
            root / PARTS,
            Room(root, settings.CONFIG.downloads.keep_free_mb * _MIB),
            moved=moved,
            pause=pause,
            measured=measured,
            # Pulls may have a network to spare for others.
            passed=pull_rate.passed if download.fingerprint else _at_once,
        )

    try:
        root.mkdir(parents=True, exist_ok=True)
        if download.fingerprint:
            _pull(run, download, fetcher, beat=lambda: moved(run.size))
            return
        files = wanted_files(
            download.wanted(), repo=download.repo, commit=download.commit, root=root
        )
        with checked_client(network_policy()) as client:
            fetcher(client).fetch(files)
    except DownloadStopped:
        download.refresh_from_db()
        if download.is_cancelled:
            _discard(download)
        _stopped(run, is_cancelled=download.is_cancelled)
        return
    except (DownloadFailed, OSError) as error:
        logger.warning("%s could not be downloaded: %s", download, error)
        _finish_as(run, _State.FAILED, str(error))
        return
    _become_model(run, [file.target for file in files])


def _at_once(_count: int) -> float:
    return 0.0


def _pull(
    run: _Run,
    download: Download,
    fetcher: Callable[[httpx2.Client], Fetcher],
    *,
    beat: Callable[[], None],
) -> None:
    """Fetch a known model to this node. Raises DownloadFailed, DownloadStopped."""
    models = list(Model.objects.files().filter(fingerprint=download.fingerprint))
    if not models:
        raise DownloadFailed("The model is not in the registry any more.")
    pull_files(download, models[0], fetcher, beat=beat)
    run.total = download.bytes_total
    logger.info("Fetched %s", download)
    _finish_as(run, _State.DONE, became=[model.name for model in models])


def _discard(download: Download) -> None:
    """Delete what has come of a download, unless another one has it by now."""
    for key in part_keys(download.wanted(), repo=download.repo, commit=download.commit):
        delete_part(settings.MODELS_DIR / PARTS, key)


def _become_model(run: _Run, targets: list[Path]) -> None:
    """Register the files; a scan pairs the projector with its model."""
    report = services.model_scan(roots=targets)
    paths = [str(resolve_root(target)) for target in targets]
    unreadable = [
        entry
        for entry in report.entries
        if entry.outcome == ScanOutcome.UNREADABLE and entry.path in paths
    ]
    if unreadable:
        first = unreadable[0]
        _finish_as(
            run,
            _State.FAILED,
            f"It came whole, but '{Path(first.path).name}' cannot be read: "
            f"{first.reason}.",
        )
        return
    found = Model.objects.filter(path__in=paths, state=FileState.FOUND)
    by_path = dict(found.values_list("path", "name"))
    names = [by_path[path] for path in paths if path in by_path]
    logger.info("Downloaded %s", ", ".join(names))
    _finish_as(run, _State.DONE, became=names)


def _stopped(run: _Run, *, is_cancelled: bool) -> None:
    """Write that it was cancelled, or that it waits until an engine runs again."""
    if is_cancelled:
        _finish_as(run, _State.CANCELLED)
        return
    rows = Download.objects.filter(pk=run.pk, state=_State.RUNNING)
    for row in rows:
        rows.update(state=row.waiting_state, speed=0, bytes_done=run.size)


def _finish_as(
    run: _Run,
    state: Download.State,
    error: str = "",
    became: list[str] | None = None,
) -> None:
    """Write how it ended. The row is saved, so the audit log has it."""
    for row in Download.objects.filter(pk=run.pk, state=_State.RUNNING):
        row.state = state
        row.error = error or row.error
        row.became = became or []
        row.speed = 0
        row.bytes_total = run.total
        row.bytes_done = run.total or run.size if state == _State.DONE else run.size
        row.finished_at = timezone.now()
        row.save(
            update_fields=[
                *("state", "error", "became", "speed"),
                *("bytes_total", "bytes_done", "finished_at"),
            ]
        )
