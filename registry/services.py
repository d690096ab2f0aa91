"""Scans models and records the result in the registry."""

from __future__ import annotations

import dataclasses
import math
import os
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from llm_manager.lib.machine.disks import disk_spaces
from llm_manager.lib.units import human_count
from registry.copies.here import known_models
from registry.errors import ModelNotFound
from registry.gguf.describe import VERSION, ModelDescription
from registry.models import GENERATIVE, Alias, FileState, Kind, Model, ScanRun
from registry.scan.arrivals import Arrivals, arrivals, files_under
from registry.scan.folders import is_under, printable_path, resolve_root
from registry.scan.naming import choose_name
from registry.scan.pairing import PairingCandidate, choose_projector
from registry.scan.scanner import (
    ScanEntry,
    ScanOutcome,
    ScanReport,
    compare,
    scan,
)
from registry.served_models import served_model

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from llm_manager.lib.machine.disks import DiskSpace
    from registry.models import ModelQuerySet
    from registry.scan.files import ReadModel
    from registry.scan.folders import FoundFile
    from registry.scan.scanner import Comparison, DiskScan, Progress

#: A process looks for new files at most this often, whoever asks. A choice.
_LOOK_EVERY_S = 1.0
# Rows in one statement; databases limit its parameters.
_BATCH = 500

_DESCRIBED = tuple(field.name for field in dataclasses.fields(ModelDescription))


def configured_roots() -> list[Path]:
    """Return the configured folders: models.dir and models.extra_dirs."""
    return [settings.MODELS_DIR, *settings.CONFIG.models.extra_dirs]


def disks() -> list[DiskSpace]:
    """Return the room on this machine's disks for data and models."""
    return disk_spaces({"data": [settings.DATA_DIR], "models": configured_roots()})


def model_scan(
    *,
    roots: Sequence[Path] | None = None,
    dry_run: bool = False,
    prune: bool = False,
    progress: Progress | None = None,
) -> ScanReport:
    """Scan folders or files, record the result and return a report.

    ``roots`` default to the configured ones. A new file becomes a model. A changed or
    moved one keeps its row, with id and settings. A model under the roots whose file
    is gone becomes missing or, with ``prune``, is deleted. ``dry_run`` writes nothing.
    ``progress`` is called after each model. A file that cannot be read is an entry of
    the report, never an error.
    """
    started = time.monotonic()
    roots = configured_roots() if roots is None else roots
    names = tuple(printable_path(str(resolve_root(root))) for root in roots)
    run = None if dry_run else ScanRun.objects.create(roots=list(names))
    try:
        rows = Model.objects.files().defer("chat_template", "metadata")
        # Outside any transaction: reading the disk can take minutes, and a transaction
        # would block every other writer on SQLite.
        disk = scan(roots, known_models(rows), progress)
        plan = (
            _plan(disk, prune=prune) if run is None else _record(disk, run, prune=prune)
        )
        # Bulk updates send no signals.
        served_model.clear()
    except BaseException:
        if run is not None:
            run.delete()
        raise
    return ScanReport(
        roots=names,
        entries=plan.entries,
        unchanged=len(plan.comparison.unchanged),
        pruned=len(plan.pruned),
        is_dry_run=dry_run,
        duration_s=time.monotonic() - started,
    )


class FolderLook:
    """Looks for new and changed files, and scans those that are whole.

    It costs a walk through the folders; the registry is read only if they have changed
    since the last look of this process. What a look does not find is never made
    missing: a disk may be away for a moment.
    """

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()
        self._files: tuple[FoundFile, ...] = ()
        self._looked_at = -math.inf

    def look(
        self, *, name: str | None = None, at_most_every_s: float = 0
    ) -> Arrivals | None:
        """Scan what has arrived; return it, or None if there was nothing to look for.

        ``name``: only files that would have this id or file name. Also None if another
        thread is looking, or the last look is not ``at_most_every_s`` old.
        """
        if not self._one_at_a_time.acquire(blocking=False):
            return None
        try:
            if time.monotonic() - self._looked_at < at_most_every_s:
                return None
            files = files_under(configured_roots())
            self._looked_at = time.monotonic()
            if files == self._files:
                return None
            rows = Model.objects.files().defer("chat_template", "metadata")
            found = arrivals(files, known_models(rows), name=name)
            if found.whole:
                model_scan(roots=found.whole)
            if name is None and not found.growing:
                self._files = files
            return found
        finally:
            self._one_at_a_time.release()


def models_deleted(paths: Collection[str]) -> None:
    """Record the models as missing whose files were deleted.

    ``paths`` are files or folders that are gone, whatever was there.
    """
    found = Model.objects.files().filter(state=FileState.FOUND)
    gone = [
        Path(path)
        for path in found.values_list("path", flat=True)
        if any(is_under(path, each) for each in paths) and not os.path.lexists(path)
    ]
    if gone:
        model_scan(roots=gone)


#: That of this process.
folder_look = FolderLook()


def folders_look() -> None:
    """Look for new files before a page shows the models."""
    if settings.CONFIG.models.watch:
        folder_look.look(at_most_every_s=_LOOK_EVERY_S)


def arrived_model(name: str) -> Model | None:
    """Return the model of a file that nobody had registered yet, if there is one.

    Raises ModelNotFound if the file is still being written, and what served_model does.
    """
    if not settings.CONFIG.models.watch:
        return None
    found = folder_look.look(name=name, at_most_every_s=_LOOK_EVERY_S)
    if found is not None and found.growing:
        raise ModelNotFound(
            f"The model '{name}' does not exist yet: its file is being written."
        )
    return served_model(name) if found is not None and found.whole else None


@dataclass(frozen=True, slots=True)
class _ScanPlan:
    """What a scan writes.

    ``names`` are those of the new models, in order; ``pruned`` are the primary keys of
    the rows to delete.
    """

    rows: dict[int, Model]
    comparison: Comparison
    names: list[str]
    pruned: frozenset[int]
    entries: tuple[ScanEntry, ...]


def _plan(disk: DiskScan, *, prune: bool) -> _ScanPlan:
    """Return what to write, given the rows as they are now."""
    rows = {row.pk: row for row in Model.objects.files().defer("chat_template")}
    comparison = compare(disk, known_models(rows.values()))
    taken = set(Model.objects.values_list("name", flat=True))
    taken.update(Alias.objects.values_list("name", flat=True))
    names = []
    for found in comparison.new:
        names.append(choose_name(found, taken))
        taken.add(names[-1])
    missing = {model.pk for model in comparison.missing}
    pruned = frozenset(missing if prune else ())
    entries = tuple(_entries(disk, comparison, names, pruned))
    return _ScanPlan(rows, comparison, names, pruned, entries)


@transaction.atomic
def _record(disk: DiskScan, run: ScanRun, *, prune: bool) -> _ScanPlan:
    """Write the registry and the run, together or not at all."""
    # One scan at a time from here on, so that each sees what the one before wrote: all
    # lock the oldest run. (On SQLite the transaction excludes other writers anyway.)
    ScanRun.objects.select_for_update(no_key=True).order_by("pk").values("pk").first()
    plan = _plan(disk, prune=prune)
    touched = _write_found(plan)
    _write_absent(plan)
    _pair_projectors(touched, plan.rows.values())
    counts = Counter(entry.outcome for entry in plan.entries)
    run.new = counts[ScanOutcome.NEW]
    run.changed = counts[ScanOutcome.CHANGED]
    run.unchanged = len(plan.comparison.unchanged)
    run.missing = counts[ScanOutcome.MISSING]
    run.unreadable = counts[ScanOutcome.UNREADABLE]
    run.entries = [entry.as_json() for entry in plan.entries]
    run.finished_at = timezone.now()
    run.save()
    return plan


def _write_found(plan: _ScanPlan) -> set[int]:
    """Write new, changed and unchanged models; return the ids of new and changed."""
    new = [
        Model(name=name, **_columns(found))
        for name, found in zip(plan.names, plan.comparison.new, strict=True)
    ]
    Model.objects.bulk_create(new, batch_size=_BATCH)
    plan.rows.update((row.pk, row) for row in new)
    for change in plan.comparison.changed:
        row = plan.rows[change.known.pk]
        columns = _columns(change.found)
        # Only the scan's columns: someone may be editing the settings right now.
        # One statement per row: bulk_update takes far longer.
        Model.objects.filter(pk=row.pk).update(**columns)
        for column, value in columns.items():
            setattr(row, column, value)
    for rows in _batches(model.pk for model in plan.comparison.unchanged):
        rows.update(checked_at=timezone.now())
    changed = {change.known.pk for change in plan.comparison.changed}
    return changed | {row.pk for row in new}


def _write_absent(plan: _ScanPlan) -> None:
    """Write missing and unreadable models, and delete the pruned ones."""
    absent = (
        (plan.comparison.missing, FileState.MISSING),
        (plan.comparison.unreadable, FileState.UNREADABLE),
    )
    for models, state in absent:
        for rows in _batches(model.pk for model in models):
            rows.update(state=state, checked_at=timezone.now())
        for model in models:
            plan.rows[model.pk].state = state
    for rows in _batches(plan.pruned):
        rows.delete()


def _pair_projectors(touched: set[int], rows: Iterable[Model]) -> None:
    """Pair models with the projectors of their folders, if either is in ``touched``.

    A model keeps a projector whose file exists: it may have been chosen by hand.
    """
    folders: dict[Path, list[Model]] = defaultdict(list)
    found = {row.pk: row for row in rows if row.state == FileState.FOUND}
    for row in found.values():
        folders[Path(row.path).parent].append(row)
    paired = []
    for folder in folders.values():
        projectors = [_candidate(row) for row in folder if row.kind == Kind.PROJECTOR]
        models = [row for row in folder if row.kind in GENERATIVE]
        candidates = [_candidate(row) for row in models]
        for row in models if projectors else ():
            if row.projector_id in found:
                continue
            chosen = choose_projector(_candidate(row), projectors, candidates)
            if chosen is not None and {row.pk, chosen.pk} & touched:
                row.projector_id = chosen.pk
                paired.append(row)
    Model.objects.bulk_update(paired, ["projector"], batch_size=_BATCH)


def _candidate(row: Model) -> PairingCandidate:
    basename = row.metadata.get("general.basename", "")
    return PairingCandidate(row.pk, Path(row.path).stem, str(basename))


def _columns(found: ReadModel) -> dict[str, Any]:
    """Return every column that a scan writes, except the name."""
    files = found.files
    return {
        "path": files.path,
        "file_name": Path(files.path).name,
        "shards": list(files.paths) if len(files.paths) > 1 else [],
        "file_size": files.size,
        "mtime_ns": files.mtime_ns,
        "fingerprint": found.fingerprint,
        "state": FileState.FOUND,
        "checked_at": timezone.now(),
        "description_version": VERSION,
    } | {name: getattr(found.description, name) for name in _DESCRIBED}


def _batches(ids: Iterable[int]) -> Iterator[ModelQuerySet]:
    """Yield the rows with these ids in batches that fit into one statement."""
    remaining = list(ids)
    while remaining:
        yield Model.objects.filter(pk__in=remaining[:_BATCH])
        remaining = remaining[_BATCH:]


def _entries(
    disk: DiskScan,
    comparison: Comparison,
    names: Sequence[str],
    pruned: frozenset[int],
) -> Iterator[ScanEntry]:
    for name, found in zip(names, comparison.new, strict=True):
        summary = _summary(found)
        yield ScanEntry(found.files.path, ScanOutcome.NEW, name, summary=summary)
    for change in comparison.changed:
        yield ScanEntry(
            change.found.files.path,
            ScanOutcome.CHANGED,
            change.known.name,
            change.reason,
            _summary(change.found),
        )
    for model in comparison.missing:
        reason = "deleted from the registry" if model.pk in pruned else ""
        yield ScanEntry(model.path, ScanOutcome.MISSING, model.name, reason)
    for model in comparison.different:
        reason = (
            "this machine has another file than the others here, and does not use it"
        )
        path = model.row_path or model.path
        yield ScanEntry(path, ScanOutcome.UNREADABLE, model.name, reason)
    by_path = {model.path: model.name for model in comparison.unreadable}
    for each in sorted(disk.unusable, key=lambda each: each.path):
        name = by_path.get(each.path, "")
        yield ScanEntry(each.path, ScanOutcome.UNREADABLE, name, each.reason)


def _summary(found: ReadModel) -> str:
    """Return a short description of a model: ``chat llama, 8.03 B, Q4_K_M``."""
    model = found.description
    kind = f"{model.kind} {model.architecture}".strip()
    count = human_count(model.parameter_count) if model.parameter_count else ""
    return ", ".join(filter(None, (kind, count, model.quantization)))


def alias_ensure(*, name: str, file_name: str) -> None:
    """Give the model of a file another name, unless a model has that name already."""
    if Model.objects.filter(name=name).exists():
        return
    for model in Model.objects.filter(file_name=file_name)[:1]:
        Alias.objects.get_or_create(name=name, defaults={"model": model})
