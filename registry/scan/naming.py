"""Chooses a model's name, which requests use."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from registry.scan.files import ReadModel

#: Length of the registry's column for a name, in characters.
MAX_NAME_LENGTH = 255


def choose_name(found: ReadModel, taken: Container[str]) -> str:
    """Return a free name: ``stem``, ``folder/stem`` or ``…/folder/stem``.

    It is as short as possible, and uses folders rather than a number so that it shows
    which of two files it is. It is in the normal form NFC, whatever the files' names
    are in: that is what keyboards and clients send.
    """
    return next(
        name
        for name in _names(found)
        if len(name) <= MAX_NAME_LENGTH and name not in taken
    )


def _names(found: ReadModel) -> Iterator[str]:
    stem = unicodedata.normalize("NFC", found.files.stem)
    folder = unicodedata.normalize("NFC", str(Path(found.files.path).parent))
    folders = Path(folder).parts[1:]
    for depth in range(len(folders) + 1):
        yield "/".join((*folders[len(folders) - depth :], stem))
    # Two files in one folder, as "a.gguf" and "a.GGUF".
    number = 2
    while True:
        yield f"{stem[: MAX_NAME_LENGTH - 12]}-{number}"
        number += 1
