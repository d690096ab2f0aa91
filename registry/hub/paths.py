"""Where files of a hub may be written. Their names come from strangers."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from llm_manager.lib.quoting import printable, quote
from registry.hub.errors import HostilePath

SUFFIX = ".gguf"
#: File systems have names of 255 bytes at most; a part of one needs a longer name.
_MAX_NAME_BYTES = 240
_MAX_FOLDERS = 8


def checked_path(name: str) -> PurePosixPath:
    """Return a file's path within its repository. Raises HostilePath.

    Only visible GGUF files below the folder: no ``..``, no absolute path, no name that
    a terminal or another system would read as something else.
    """
    parts = name.split("/")
    if (
        not name.lower().endswith(SUFFIX)
        or len(parts) > _MAX_FOLDERS
        or not all(map(_is_harmless, parts))
    ):
        raise HostilePath(
            f"The file '{printable(quote(name))}' is not downloaded: its name is not "
            f"that of a {SUFFIX} file, or leads out of the folder."
        )
    return PurePosixPath(name)


def place_in(folder: Path, path: PurePosixPath) -> Path:
    """Return the file's path in ``folder``. Raises HostilePath.

    Also if a link in the folder leads out of it.
    """
    place = folder / path
    if not place.parent.resolve().is_relative_to(folder.resolve()):
        raise HostilePath(
            f"The file '{path}' is not downloaded: a link leads out of '{folder}'."
        )
    return place


def _is_harmless(part: str) -> bool:
    return (
        bool(part.strip("."))
        and not part.startswith((".", " "))
        and not part.endswith((".", " "))
        and part.isprintable()
        and not set(part) & set('\\:*?"<>|')
        and len(part.encode("utf-8", "surrogatepass")) <= _MAX_NAME_BYTES
    )
