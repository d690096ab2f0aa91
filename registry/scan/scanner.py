"""A scan: what is on disk, compared with what was known. No database here.

In two halves, because the first may take minutes and the second is done while
others wait: ``scan`` reads the disk, ``compare`` decides what each difference
means.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.errors import InvalidGGUF
from registry.scan.files import (
    ModelFiles,
    ReadModel,
    group_files,
    read_model,
    shard_paths,
)
from registry.scan.folders import Refusal, find_files, is_under, refusal, resolve_root

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence

    #: Called with the models looked at so far, the number of all, and the last.
    Progress = Callable[[int, int, str], None]


class Outcome(StrEnum):
    """What a scan found about one model."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    MISSING = "missing"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class KnownModel:
    """What is remembered of a model. ``size`` is in bytes.

    ``is_current`` says that this release has read its header, not one that knew less.
    """

    pk: int
    name: str
    paths: tuple[str, ...]
    size: int
    mtime_ns: int
    fingerprint: str
    is_found: bool
    is_current: bool = True

    @property
    def path(self) -> str:
        """The file, or the first shard."""
        return self.paths[0]


@dataclass(frozen=True, slots=True)
class DiskScan:
    """What is on disk.

    ``unchanged`` was not read again: it looked as it did when it was.
    """

    roots: tuple[str, ...]
    read: tuple[ReadModel, ...]
    unchanged: tuple[ModelFiles, ...]
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """A known model that is to be brought up to date, and what happened to it."""

    known: KnownModel
    found: ReadModel
    reason: str


@dataclass(slots=True)
class Comparison:
    """Every model on disk or in memory, by what is to be done about it."""

    new: list[ReadModel] = field(default_factory=list)
    changed: list[Change] = field(default_factory=list)
    unchanged: list[KnownModel] = field(default_factory=list)
    missing: list[KnownModel] = field(default_factory=list)
    #: Known models whose file is there but cannot be used.
    unreadable: list[KnownModel] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a report. ``summary`` says what a new or changed model is."""

    path: str
    outcome: Outcome
    name: str = ""
    reason: str = ""
    summary: str = ""

    def as_json(self) -> dict[str, str]:
        """Return what is said, as JSON."""
        said = {
            "path": self.path,
            "outcome": self.outcome.value,
            "name": self.name,
            "reason": self.reason,
            "summary": self.summary,
        }
        return {key: value for key, value in said.items() if value}


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What a scan found: an entry for each model that is not as it was."""

    roots: tuple[str, ...]
    entries: tuple[Entry, ...]
    unchanged: int
    pruned: int
    is_dry_run: bool
    duration_s: float

    def counts(self) -> dict[str, int]:
        """Return the number of models by outcome."""
        counts = {outcome.value: 0 for outcome in Outcome}
        for entry in self.entries:
            counts[entry.outcome] += 1
        return counts | {Outcome.UNCHANGED.value: self.unchanged}

    def as_json(self) -> dict[str, Any]:
        """Return the report as one JSON document."""
        return {
            "roots": list(self.roots),
            "dry_run": self.is_dry_run,
            "duration_s": round(self.duration_s, 3),
            "counts": self.counts(),
            "pruned": self.pruned,
            "entries": [entry.as_json() for entry in self.entries],
        }


def scan(
    roots: Sequence[Path],
    known: Iterable[KnownModel],
    progress: Progress | None = None,
) -> DiskScan:
    """Return what is under ``roots``, each a folder or a file.

    Reads only what is new or looks other than ``known``. Never fails for what
    it finds; that is in ``refusals``, each with its reason.
    """
    resolved = [
        path
        for root in map(resolve_root, roots)
        for path in [root, *filter(os.path.lexists, shard_paths(root))]
    ]
    walk = find_files(resolved)
    models, incomplete = group_files(walk.files)
    refusals = [*walk.refusals, *incomplete]
    by_path = {model.path: model for model in known}
    read = []
    unchanged = []
    for number, files in enumerate(models, start=1):
        # Taking a permission away changes neither size nor time.
        if looks_unchanged(by_path, files) and _may_read(files):
            unchanged.append(files)
        else:
            found = _read(files)
            if isinstance(found, ReadModel):
                read.append(found)
            elif found is not None:
                refusals.append(found)
        if progress:
            progress(number, len(models), files.path)
    return DiskScan(
        tuple(map(str, resolved)), tuple(read), tuple(unchanged), tuple(refusals)
    )


def looks_unchanged(known: Mapping[str, KnownModel], files: ModelFiles) -> bool:
    """Return whether files are those that were read: paths, size and time."""
    model = known.get(files.path)
    return (
        model is not None
        and model.is_found
        and model.is_current
        and model.paths == files.paths
        and model.size == files.size
        and model.mtime_ns == files.mtime_ns
    )


def compare(disk: DiskScan, known: Sequence[KnownModel]) -> Comparison:
    """Return what each difference between disk and memory means.

    A file at a known path is that model, whatever it holds now. A file at a
    new path is a model that moved if its content is that of a model whose own
    path is gone; else it is new. A model under the roots whose file was not
    seen is missing; models elsewhere are left alone.
    """
    result = Comparison()
    by_path = {model.path: model for model in known}
    seen = {files.path for files in disk.unchanged}
    seen |= {found.files.path for found in disk.read}
    refused = {refusal.path for refusal in disk.refusals}
    unseen = {model.pk: model for model in known if model.path not in seen}
    for model in list(unseen.values()):
        if _is_refused(model, refused):
            result.unreadable.append(unseen.pop(model.pk))
    result.unchanged = [
        by_path[files.path] for files in disk.unchanged if files.path in by_path
    ]
    for found in disk.read:
        at_path = by_path.get(found.files.path)
        if at_path is not None and looks_unchanged(by_path, found.files):
            # Another scan was faster.
            result.unchanged.append(at_path)
        elif at_path is not None:
            reason = _difference(at_path, found)
            result.changed.append(Change(at_path, found, reason))
        elif moved := _moved(found, unseen.values(), disk.roots):
            del unseen[moved.pk]
            result.changed.append(Change(moved, found, f"moved from {moved.path}"))
        else:
            result.new.append(found)
    result.missing = [
        model for model in unseen.values() if _is_under_any(model, disk.roots)
    ]
    return result


def _may_read(files: ModelFiles) -> bool:
    return all(os.access(path, os.R_OK) for path in files.paths)


def _read(files: ModelFiles) -> ReadModel | Refusal | None:
    """Return the model, or why not, or None if it vanished meanwhile."""
    try:
        return read_model(files)
    except InvalidGGUF as error:
        return Refusal(files.path, str(error))
    except FileNotFoundError as error:
        if len(files.files) == 1:
            return None
        return refusal(files.path, error)
    except OSError as error:
        return refusal(files.path, error)


def _difference(model: KnownModel, found: ReadModel) -> str:
    if model.fingerprint != found.fingerprint:
        return "the content changed"
    if not model.is_found:
        return "it is back"
    if not model.is_current:
        return "an earlier release had read less of it"
    return "the content is the same, its time is not"


def _moved(
    found: ReadModel, unseen: Iterable[KnownModel], roots: Iterable[str]
) -> KnownModel | None:
    """Return the model that went and whose content is here, by name if several."""
    name = Path(found.files.path).name
    gone = [
        model
        for model in unseen
        if model.fingerprint == found.fingerprint
        and (_is_under_any(model, roots) or not os.path.lexists(model.path))
    ]
    return min(
        gone, key=lambda model: (Path(model.path).name != name, model.pk), default=None
    )


def _is_under_any(model: KnownModel, roots: Iterable[str]) -> bool:
    return any(is_under(model.path, root) for root in roots)


def _is_refused(model: KnownModel, refused: Container[str]) -> bool:
    """Return whether the file, or a folder that it lies in, was refused."""
    path = Path(model.path)
    return any(str(each) in refused for each in (path, *path.parents))
