"""Scans the disk and compares it with the known models. Knows no database.

``scan`` reads the disk, which may take minutes. ``compare`` decides what each
difference means; it is fast, because it runs inside a transaction.
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
from registry.scan.folders import (
    UnusablePath,
    find_files,
    is_under,
    resolve_root,
    unusable_path,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence

    #: Called with the number of models done, the number of all, and the last path.
    Progress = Callable[[int, int, str], None]


class ScanOutcome(StrEnum):
    """The result of a scan for one model."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    MISSING = "missing"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model in the registry. ``size`` is in bytes.

    ``is_current``: its header was read by a release that reads as much as this one.
    ``is_elsewhere``: other machines have it as well; ``is_path_elsewhere``: at the path
    of its row, ``row_path``, if that is another one than ``paths`` here.
    """

    pk: int
    name: str
    paths: tuple[str, ...]
    size: int
    mtime_ns: int
    fingerprint: str
    is_found: bool
    is_current: bool = True
    row_path: str = ""
    is_elsewhere: bool = False
    is_path_elsewhere: bool = False

    @property
    def path(self) -> str:
        """The file, or the first shard."""
        return self.paths[0]


@dataclass(frozen=True, slots=True)
class DiskScan:
    """The models on disk.

    ``unchanged`` ones were not read again, since size and time are the same.
    """

    roots: tuple[str, ...]
    read: tuple[ReadModel, ...]
    unchanged: tuple[ModelFiles, ...]
    unusable: tuple[UnusablePath, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """A known model whose row must be updated, and the reason."""

    known: KnownModel
    found: ReadModel
    reason: str


@dataclass(slots=True)
class Comparison:
    """Every model on disk or in the registry, by what changed."""

    new: list[ReadModel] = field(default_factory=list)
    changed: list[Change] = field(default_factory=list)
    unchanged: list[KnownModel] = field(default_factory=list)
    missing: list[KnownModel] = field(default_factory=list)
    #: Known models whose file exists but cannot be used.
    unreadable: list[KnownModel] = field(default_factory=list)
    #: Models of other machines whose path another file has here.
    different: list[KnownModel] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ScanEntry:
    """One line of a report. ``summary`` describes a new or changed model."""

    path: str
    outcome: ScanOutcome
    name: str = ""
    reason: str = ""
    summary: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the fields that are not empty, as JSON."""
        fields = {
            "path": self.path,
            "outcome": self.outcome.value,
            "name": self.name,
            "reason": self.reason,
            "summary": self.summary,
        }
        return {key: value for key, value in fields.items() if value}


@dataclass(frozen=True, slots=True)
class ScanReport:
    """The result of a scan: an entry for each model that changed."""

    roots: tuple[str, ...]
    entries: tuple[ScanEntry, ...]
    unchanged: int
    pruned: int
    is_dry_run: bool
    duration_s: float

    def counts(self) -> dict[str, int]:
        """Return the number of models by outcome."""
        counts = {outcome.value: 0 for outcome in ScanOutcome}
        for entry in self.entries:
            counts[entry.outcome] += 1
        return counts | {ScanOutcome.UNCHANGED.value: self.unchanged}

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
    """Return the models under ``roots``, each a folder or a file.

    Reads only models that are new or differ from ``known``. Files that cannot be read
    raise nothing; they are in ``unusable`` with a reason.
    """
    resolved = [
        path
        for root in map(resolve_root, roots)
        for path in [root, *filter(os.path.lexists, shard_paths(root))]
    ]
    by_path = {model.path: model for model in known}
    # A known model whose file is gone is missing, not unreadable, also if it is named.
    present = [
        path for path in resolved if os.path.lexists(path) or str(path) not in by_path
    ]
    found_files = find_files(present)
    models, incomplete = group_files(found_files.files)
    unusable = [*found_files.unusable, *incomplete]
    read = []
    unchanged = []
    for number, files in enumerate(models, start=1):
        # Removing a permission changes neither size nor time.
        if looks_unchanged(by_path, files) and _may_read(files):
            unchanged.append(files)
        else:
            found = _read(files)
            if isinstance(found, ReadModel):
                read.append(found)
            elif found is not None:
                unusable.append(found)
        if progress:
            progress(number, len(models), files.path)
    return DiskScan(
        tuple(map(str, resolved)), tuple(read), tuple(unchanged), tuple(unusable)
    )


def looks_unchanged(known: Mapping[str, KnownModel], files: ModelFiles) -> bool:
    """Return whether paths, size and time are those of a known model."""
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
    """Return what each difference between the disk and the registry means.

    A file at a known path is that model, whatever its content is now. A file at a new
    path is a known model that moved if it has the fingerprint of one whose path is
    gone; else it is new. A model under the roots whose file was not seen is missing.
    Models outside the roots are ignored. What other machines have is neither missing
    nor changed by a file that only this one has.
    """
    result = Comparison()
    by_path = {model.path: model for model in known}
    by_row = {model.row_path or model.path: model for model in known}
    seen = {files.path for files in disk.unchanged}
    seen |= {found.files.path for found in disk.read}
    unusable = {each.path for each in disk.unusable}
    unseen = {model.pk: model for model in known if model.path not in seen}
    for model in list(unseen.values()):
        if _is_unusable(model, unusable) and not model.is_elsewhere:
            result.unreadable.append(unseen.pop(model.pk))
    result.unchanged = [
        by_path[files.path] for files in disk.unchanged if files.path in by_path
    ]
    for found in disk.read:
        at_path = by_path.get(found.files.path)
        if at_path is not None and looks_unchanged(by_path, found.files):
            # Another scan has recorded it meanwhile.
            result.unchanged.append(at_path)
        elif at_path is not None and _is_of_others(at_path, found):
            result.different.append(at_path)
        elif at_path is not None:
            reason = _difference(at_path, found)
            result.changed.append(Change(at_path, found, reason))
        elif copied := _copied(found, unseen.values()):
            del unseen[copied.pk]
            result.unchanged.append(copied)
        elif moved := _moved(found, unseen.values(), disk.roots):
            del unseen[moved.pk]
            result.changed.append(Change(moved, found, f"moved from {moved.path}"))
        elif found.files.path in by_row:
            result.different.append(by_row[found.files.path])
        else:
            result.new.append(found)
    result.missing = [
        model
        for model in unseen.values()
        if _is_under_any(model, disk.roots) and not model.is_elsewhere
    ]
    return result


def _may_read(files: ModelFiles) -> bool:
    return all(os.access(path, os.R_OK) for path in files.paths)


def _read(files: ModelFiles) -> ReadModel | UnusablePath | None:
    """Return the model, or why it cannot be read, or None if it vanished."""
    try:
        return read_model(files)
    except InvalidGGUF as error:
        return UnusablePath(files.path, str(error))
    except FileNotFoundError as error:
        if len(files.files) == 1:
            return None
        return unusable_path(files.path, error)
    except OSError as error:
        return unusable_path(files.path, error)


def _difference(model: KnownModel, found: ReadModel) -> str:
    if model.fingerprint != found.fingerprint:
        return "the content changed"
    if not model.is_found:
        return "the file is back"
    if not model.is_current:
        return "read again: this release reads more of the header"
    return "only the modification time changed"


def _is_of_others(model: KnownModel, found: ReadModel) -> bool:
    """Return whether a file here is not what other machines have as this model."""
    return model.is_elsewhere and model.fingerprint != found.fingerprint


def _copied(found: ReadModel, unseen: Iterable[KnownModel]) -> KnownModel | None:
    """Return the model that other machines have at its path, and this one here."""
    for model in unseen:
        if model.is_path_elsewhere and model.fingerprint == found.fingerprint:
            return model
    return None


def _moved(
    found: ReadModel, unseen: Iterable[KnownModel], roots: Iterable[str]
) -> KnownModel | None:
    """Return the missing model with this content, preferably of the same name."""
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


def _is_unusable(model: KnownModel, unusable: Container[str]) -> bool:
    """Return whether the file or a folder above it is unusable."""
    path = Path(model.path)
    return any(str(each) in unusable for each in (path, *path.parents))
