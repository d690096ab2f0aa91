"""Registers model files when they appear in the models directories of this node."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from watchfiles import Change, awatch

from llm_manager.lib.threads import in_thread
from registry.services import configured_roots, folder_look, models_deleted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

logger = logging.getLogger(__name__)

#: How often files are looked at that are being written.
_LOOK_EVERY_S = 1.0
#: The folders themselves, which may be replaced, are looked at every so many times.
_LOOKS_AT_FOLDERS = 15
#: Changes are collected this long: watchfiles wakes up so often, whatever happens. It
#: passes them on when nothing more has come for a step, so within two.
_STEP_S = 1.0


class ModelsWatch:
    """Watches the configured folders; a change there is followed by a look.

    Folders may be missing, appear later or be replaced. A file that is deleted is
    recorded as missing; one on a disk that goes away is not. ``report`` says first
    which files this node has: other nodes may have those that are gone here.
    """

    def __init__(self, report: Callable[[], Awaitable[None]]) -> None:
        self._report = report
        self._is_due = True
        self._is_growing = False
        self._deleted: set[str] = set()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            try:
                await self._watch()
            except Exception:
                # As when the system has no more inotify watches.
                logger.exception("Watching the models directories failed")
                self._is_due = True
                await self._look_unwatched()
                await asyncio.sleep(10 * _LOOK_EVERY_S)

    async def _watch(self) -> None:
        """Watch the folders that exist, until others exist."""
        folders = await asyncio.to_thread(_existing, configured_roots())
        if not folders:
            await asyncio.sleep(_LOOK_EVERY_S)
            return
        self._is_due = True
        is_growing = self._is_growing
        every_s = _LOOK_EVERY_S * (1 if is_growing else _LOOKS_AT_FOLDERS)
        changes = awatch(
            *folders,
            watch_filter=_is_visible,
            step=int(_STEP_S * 1000),
            rust_timeout=int(every_s * 1000),
            yield_on_timeout=True,
            ignore_permission_denied=True,
        )
        async for found in changes:
            self._note(found)
            await self._look_if_due()
            if self._is_growing != is_growing:
                return
            if await asyncio.to_thread(_existing, configured_roots()) != folders:
                return

    def _note(self, changes: Iterable[tuple[Change, str]]) -> None:
        for change, path in changes:
            self._is_due = True
            if change == Change.deleted:
                self._deleted.add(path)

    async def _look_unwatched(self) -> None:
        """Look although nothing says what has changed; a failure is tried again."""
        try:
            await self._look_if_due()
        except Exception:
            logger.exception("Looking at the models directories failed")

    async def _look_if_due(self) -> None:
        """Look for what came, and after that for what is gone: it may have moved."""
        if self._is_due or self._deleted:
            await self._report()
        if self._is_due:
            found = await in_thread(folder_look.look)
            self._is_growing = found is not None and bool(found.growing)
            self._is_due = self._is_growing
            for path in found.whole if found is not None else ():
                logger.info("Found %s", path)
        if self._deleted:
            await in_thread(models_deleted, self._deleted)
            self._deleted = set()


def _is_visible(change: Change, path: str) -> bool:
    """Whether a scan would look at a path: a file, or a folder with files in it."""
    return not Path(path).name.startswith(".")


def _existing(roots: Iterable[Path]) -> dict[Path, tuple[int, int]]:
    """Return the folders that exist, each with its device and inode."""
    found = {}
    for root in roots:
        with suppress(OSError):
            status = root.stat()
            found[root] = (status.st_dev, status.st_ino)
    return found
