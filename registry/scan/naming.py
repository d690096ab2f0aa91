"""What a model is called: the name by which requests ask for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from registry.scan.files import ReadModel

#: The registry's column for a name, in characters.
MAX_NAME_LENGTH = 255


def choose_name(found: ReadModel, taken: Container[str]) -> str:
    """Return a name that is not taken: ``stem``, ``folder/stem``, ``…/folder/stem``.

    As short as can be, and by the folders rather than by a number, so that it
    says which of two files it is.
    """
    return next(
        name
        for name in _names(found)
        if len(name) <= MAX_NAME_LENGTH and name not in taken
    )


def _names(found: ReadModel) -> Iterator[str]:
    stem = found.files.stem
    folders = Path(found.files.path).parent.parts[1:]
    for depth in range(len(folders) + 1):
        yield "/".join((*folders[len(folders) - depth :], stem))
    # Two files of one folder: "a.gguf" and "a.GGUF".
    number = 2
    while True:
        yield f"{stem[: MAX_NAME_LENGTH - 12]}-{number}"
        number += 1
