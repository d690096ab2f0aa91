"""Finds the files that a scan would add, once they are whole. Knows no database.

A file is whole when it has not been written to for a moment, its header can be read and
all of its tensors are within its size.
"""

from __future__ import annotations

import os
import time
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from registry.errors import InvalidGGUF
from registry.scan.files import ModelFiles, group_files, read_model
from registry.scan.folders import find_files, resolve_root
from registry.scan.scanner import looks_unchanged

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from registry.scan.folders import FoundFile
    from registry.scan.scanner import KnownModel

#: A file that was written to within this time may still be growing. A choice: programs
#: that copy write many times a second.
SETTLED_S = 1.0
#: Programs that allocate the whole size first, and what they put beside the file until
#: it is complete.
_UNFINISHED = (".aria2",)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """New and changed models: the first files of whole ones, and those being written.

    A file that cannot be read, or that lacks a shard, is in neither.
    """

    whole: tuple[Path, ...] = ()
    growing: tuple[Path, ...] = ()


def files_under(roots: Sequence[Path]) -> tuple[FoundFile, ...]:
    """Return the model files under these folders, by path."""
    return tuple(find_files([resolve_root(root) for root in roots]).files)


def arrivals(
    files: Iterable[FoundFile],
    known: Iterable[KnownModel],
    *,
    name: str | None = None,
) -> Arrivals:
    """Return what is new or changed among these files.

    ``name`` is a model's id or file name: then only files are looked at that would have
    it. Reads the headers of what is neither known nor growing.
    """
    by_path = {model.path: model for model in known}
    whole, growing = [], []
    for model in group_files(files)[0]:
        if looks_unchanged(by_path, model) or not _may_have(model, name):
            continue
        if _is_being_written(model):
            growing.append(Path(model.path))
        elif _is_whole(model):
            whole.append(Path(model.path))
    return Arrivals(tuple(whole), tuple(growing))


def _may_have(model: ModelFiles, name: str | None) -> bool:
    if name is None:
        return True
    # An id has folders in front of the stem where the stem alone is taken.
    last = unicodedata.normalize("NFC", name).rpartition("/")[2]
    names = (model.stem, Path(model.path).stem, Path(model.path).name)
    return last in {unicodedata.normalize("NFC", each) for each in names}


def _is_being_written(model: ModelFiles) -> bool:
    age_s = time.time() - model.mtime_ns / 1e9
    # A time in the future is another machine's clock.
    return 0 <= age_s < SETTLED_S


def _is_whole(model: ModelFiles) -> bool:
    if any(os.path.lexists(path + end) for path in model.paths for end in _UNFINISHED):
        return False
    try:
        read_model(model)
    except (InvalidGGUF, OSError):
        return False
    return True
