"""Parts that nobody needs any more, deleted."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from django.conf import settings

from registry.hub.parts import delete_part
from registry.hub.placing import PARTS, part_keys
from registry.models import Download

if TYPE_CHECKING:
    from collections.abc import Iterable

logger = logging.getLogger(__name__)

_State = Download.State
#: Parts that belong to no row are deleted after this time.
_FORGOTTEN_S = 7 * 86_400.0


def parts_discard(download: Download) -> None:
    """Delete what has come of a download that nobody runs.

    A part that another download has or will go on with is left to it.
    """
    others = Download.objects.exclude(pk=download.pk)
    _delete(_keys([download]) - _keys(others.that_go_on()))


def parts_tidy() -> None:
    """Delete parts of downloads that were cancelled, and old ones that no row knows."""
    folder = settings.MODELS_DIR / PARTS
    if not folder.is_dir():
        return
    wanted = _keys(Download.objects.that_go_on())
    ended = {
        key: download.finished_at.timestamp()
        for download in Download.objects.filter(
            state=_State.CANCELLED, finished_at__isnull=False
        ).order_by("finished_at")
        if download.finished_at
        for key in _keys([download])
    }
    found = set()
    for path in folder.iterdir():
        try:
            touched = path.stat().st_mtime
        except FileNotFoundError:
            continue
        # Later ones are of somebody who gets the file without a row.
        is_cancelled = touched <= ended.get(path.stem, 0)
        if is_cancelled or time.time() - touched > _FORGOTTEN_S:
            found.add(path.stem)
    _delete(found - wanted)


def _keys(downloads: Iterable[Download]) -> set[str]:
    """Return the names of the parts of downloads."""
    return {
        key
        for download in downloads
        for key in part_keys(
            download.wanted(), repo=download.repo, commit=download.commit
        )
    }


def _delete(keys: Iterable[str]) -> None:
    folder = settings.MODELS_DIR / PARTS
    for key in keys:
        try:
            delete_part(folder, key)
        except OSError as error:
            logger.warning("The part %s cannot be deleted: %s", key, error)
