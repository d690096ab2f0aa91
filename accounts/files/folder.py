"""Where the contents of stored files lie: one file each, named by the row's id."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from pathlib import Path

#: What a file is called while it is uploaded.
PARTIAL = ".part"
_ID = re.compile(r"(file|upload)-[0-9a-f]{32}")


def folder() -> Path:
    """Return the folder, which only this user may read."""
    path: Path = settings.CONFIG.files_dir
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def content_path(id_: str) -> Path:
    """Return where the content of a file is. Raises ValueError for what is no id."""
    if not _ID.fullmatch(id_):
        raise ValueError(f"{id_!r} is no id of a file")
    return folder() / id_


def content_delete(id_: str) -> None:
    """Delete the content of a file, if there is one."""
    content_path(id_).unlink(missing_ok=True)
