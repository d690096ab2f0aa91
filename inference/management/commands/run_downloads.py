"""``manage.py run_downloads``: the downloads that were asked for, in a process.

The engine process of a machine starts it when downloads wait, and it exits some time
after the last one.
"""

from __future__ import annotations

import fcntl
import platform
from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.management.base import CommandError

from inference.engine_messages import engine_files
from inference.management.child_command import ChildCommand, stopping_by_signal
from registry.downloads.running import DownloadRunner

if TYPE_CHECKING:
    from collections.abc import Iterator


class Command(ChildCommand):
    help = "Run the downloads that were requested, then exit."

    def work(self) -> None:
        is_stopping = stopping_by_signal()
        with _only_here():
            DownloadRunner(
                platform.node(), is_stopping=is_stopping, fetched=engine_files
            ).run()


@contextmanager
def _only_here() -> Iterator[None]:
    """Hold this machine's lock for downloads. Raises CommandError.

    The system gives it back when the process ends, however it ends.
    """
    path = settings.DATA_DIR / f"downloads-{platform.node()}.lock"
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError("Another process downloads on this machine.") from None
        yield
