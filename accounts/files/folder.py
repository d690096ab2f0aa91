"""Where the contents of stored files lie: one file each, named by the row's id.

Those that are on their way are in a folder inside: it has few, however many are kept.
"""

from __future__ import annotations

import re
import time
import uuid
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Where a file lies while it is uploaded.
_UPLOADS = "uploads"
#: A file of an upload that nobody has written to for longer is a dead process's.
_DEAD_AFTER_S = 3600
_ID = re.compile(r"(file|upload)-[0-9a-f]{32}")


def folder() -> Path:
    """Return the folder, which only this user may read."""
    path: Path = settings.CONFIG.files_dir
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def uploads() -> Path:
    """Return the folder of files that are on their way."""
    path = folder() / _UPLOADS
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def all_contents() -> Iterator[Path]:
    """Yield all that lies here, also what is on its way."""
    yield from (each for each in folder().iterdir() if each.name != _UPLOADS)
    yield from uploads().iterdir()


def content_path(id_: str) -> Path:
    """Return where the content of a file is. Raises ValueError for what is no id."""
    if not _ID.fullmatch(id_):
        raise ValueError(f"{id_!r} is no id of a file")
    return folder() / id_


def upload_path(owner_id: int, declared: int = 0) -> Path:
    """Return where a file of an upload of ``declared`` bytes may lie meanwhile."""
    return uploads() / f"{owner_id}-{declared}-{uuid.uuid4().hex}"


def parsed_path() -> Path:
    """Return where the file of an upload may lie until it is stored.

    It does not count: the upload's body does.
    """
    return uploads() / f"parsed-{uuid.uuid4().hex}"


def upload_bytes(owner_id: int) -> int:
    """Return the bytes that the uploads of an owner have, or say that they will have.

    They are those of all processes that share the folder.
    """
    since = time.time() - _DEAD_AFTER_S
    total = 0
    for path in uploads().glob(f"{owner_id}-*"):
        try:
            stat = path.stat()
        except FileNotFoundError:
            # It has ended.
            continue
        if stat.st_mtime > since:
            total += max(stat.st_size, int(path.name.split("-")[1]))
    return total


def content_delete(id_: str) -> None:
    """Delete the content of a file, if there is one."""
    content_path(id_).unlink(missing_ok=True)
