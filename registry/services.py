"""Bringing the registry up to date with the disk."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from llm_manager.lib.units import human_count
from registry.gguf.describe import VERSION, ModelDescription
from registry.models import GENERATIVE, Alias, FileState, Kind, Model, ScanRun
from registry.scan.folders import printable_path, resolve_root
from registry.scan.naming import choose_name
from registry.scan.pairing import Candidate, choose_projector
from registry.scan.scanner import Entry, KnownModel, Outcome, ScanReport, compare, scan
from registry.served_models import served_model

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from registry.models import ModelQuerySet
    from registry.scan.files import ReadModel
    from registry.scan.scanner import Comparison, DiskScan, Progress

# Rows in one statement; databases bound its parameters.
_BATCH = 500

_DESCRIBED = tuple(field.name for field in dataclasses.fields(ModelDescription))


def configured_roots() -> list[Path]:
    """Return the models directory and the further roots of the configuration."""
    return [settings.MODELS_DIR, *settings.CONFIG.models.extra_dirs]


def model_scan(
    *,
    roots: Sequence[Path] | None = None,
    dry_run: bool = False,
    prune: bool = False,
    progress: Progress | None = None,
) -> ScanReport:
    """Scan folders or files, record what was found and return it.

    ``roots`` are the configured ones unless given. New files become models;
    changed and moved ones keep their row, its id and its settings; models
    under the roots whose file is gone become missing or, with ``prune``, are
    deleted. ``dry_run`` writes nothing. ``progress`` is called after each
    model. What cannot be read is an entry of the report and never an error.
    """
    started = time.monotonic()
    roots = configured_roots() if roots is None else roots
    names = tuple(printable_path(str(resolve_root(root))) for root in roots)
    run = None if dry_run else ScanRun.objects.create(roots=list(names))
    try:
        rows = Model.objects.defer("chat_template", "metadata")
        # Outside of any transaction: reading the disk can take minutes, during
        # which nobody else could write to SQLite.
        disk = scan(roots, [_known(row) for row in rows], progress)
        plan = (
            _plan(disk, prune=prune) if run is None else _record(disk, run, prune=prune)
        )
        # Rows that are written many at a time send no signals.
        served_model.forget()
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


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be written.

    ``names`` are those of the new models, in order, ``pruned`` the keys of the
    rows that are to be deleted.
    """

    rows: dict[int, Model]
    comparison: Comparison
    names: list[str]
    pruned: frozenset[int]
    entries: tuple[Entry, ...]


def _plan(disk: DiskScan, *, prune: bool) -> _Plan:
    """Return what the disk means for the rows as they are now."""
    rows = {row.pk: row for row in Model.objects.defer("chat_template")}
    comparison = compare(disk, [_known(row) for row in rows.values()])
    taken = {row.name for row in rows.values()}
    taken.update(Alias.objects.values_list("name", flat=True))
    names = []
    for found in comparison.new:
        names.append(choose_name(found, taken))
        taken.add(names[-1])
    missing = {model.pk for model in comparison.missing}
    pruned = frozenset(missing - _restricting() if prune else ())
    entries = tuple(_entries(disk, comparison, names, pruned, prune=prune))
    return _Plan(rows, comparison, names, pruned, entries)


def _restricting() -> set[int]:
    """Return the keys of the models that some API key is restricted to.

    Without its last model such a key would be allowed all of them.
    """
    return set(Model.objects.exclude(api_keys=None).values_list("pk", flat=True))


@transaction.atomic
def _record(disk: DiskScan, run: ScanRun, *, prune: bool) -> _Plan:
    """Write the registry and the run, together or not at all."""
    # One scan at a time from here on, so that the next one sees what this one
    # wrote: all wait for the oldest run. (SQLite lets nobody else write anyway.)
    ScanRun.objects.select_for_update().order_by("pk").values("pk").first()
    plan = _plan(disk, prune=prune)
    touched = _write_found(plan)
    _write_absent(plan)
    _pair_projectors(touched, plan.rows.values())
    counts = Counter(entry.outcome for entry in plan.entries)
    run.new = counts[Outcome.NEW]
    run.changed = counts[Outcome.CHANGED]
    run.unchanged = len(plan.comparison.unchanged)
    run.missing = counts[Outcome.MISSING]
    run.unreadable = counts[Outcome.UNREADABLE]
    run.entries = [entry.as_json() for entry in plan.entries]
    run.finished_at = timezone.now()
    run.save()
    return plan


def _write_found(plan: _Plan) -> set[int]:
    """Write new, changed and unchanged models; return the ids of the former two."""
    new = [
        Model(name=name, **_columns(found))
        for name, found in zip(plan.names, plan.comparison.new, strict=True)
    ]
    Model.objects.bulk_create(new, batch_size=_BATCH)
    plan.rows.update((row.pk, row) for row in new)
    for change in plan.comparison.changed:
        row = plan.rows[change.known.pk]
        columns = _columns(change.found)
        # Only what a scan finds: somebody may be editing the settings right now.
        # One statement per row: one for many rows takes longer by far.
        Model.objects.filter(pk=row.pk).update(**columns)
        for column, value in columns.items():
            setattr(row, column, value)
    for rows in _batches(model.pk for model in plan.comparison.unchanged):
        rows.update(checked_at=timezone.now())
    changed = {change.known.pk for change in plan.comparison.changed}
    return changed | {row.pk for row in new}


def _write_absent(plan: _Plan) -> None:
    """Write missing and unreadable models, and delete those to be pruned."""
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
    """Give models the projectors of their folders, where one of the two is touched.

    A projector that a model has and that is there stays: it may have been
    chosen by hand.
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


def _candidate(row: Model) -> Candidate:
    basename = row.metadata.get("general.basename", "")
    return Candidate(row.pk, Path(row.path).stem, str(basename))


def _known(row: Model) -> KnownModel:
    return KnownModel(
        pk=row.pk,
        name=row.name,
        paths=tuple(row.shards) or (row.path,),
        size=row.file_size,
        mtime_ns=row.mtime_ns,
        fingerprint=row.fingerprint,
        is_found=row.state == FileState.FOUND,
        is_current=row.description_version == VERSION,
    )


def _columns(found: ReadModel) -> dict[str, Any]:
    """Return every column that a scan writes, but the name."""
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
    """Yield the rows with these ids, so many at a time as a statement takes."""
    remaining = list(ids)
    while remaining:
        yield Model.objects.filter(pk__in=remaining[:_BATCH])
        remaining = remaining[_BATCH:]


def _entries(
    disk: DiskScan,
    comparison: Comparison,
    names: Sequence[str],
    pruned: frozenset[int],
    *,
    prune: bool,
) -> Iterator[Entry]:
    for name, found in zip(names, comparison.new, strict=True):
        summary = _summary(found)
        yield Entry(found.files.path, Outcome.NEW, name, summary=summary)
    for change in comparison.changed:
        yield Entry(
            change.found.files.path,
            Outcome.CHANGED,
            change.known.name,
            change.reason,
            _summary(change.found),
        )
    for model in comparison.missing:
        if model.pk in pruned:
            reason = "deleted from the registry"
        else:
            reason = "kept: an API key is restricted to it" if prune else ""
        yield Entry(model.path, Outcome.MISSING, model.name, reason)
    by_path = {model.path: model.name for model in comparison.unreadable}
    for refusal in sorted(disk.refusals, key=lambda refusal: refusal.path):
        name = by_path.get(refusal.path, "")
        yield Entry(refusal.path, Outcome.UNREADABLE, name, refusal.reason)


def _summary(found: ReadModel) -> str:
    """Return what a model is in a few words: ``chat llama, 8.03 B, Q4_K_M``."""
    model = found.description
    kind = f"{model.kind} {model.architecture}".strip()
    count = human_count(model.parameter_count) if model.parameter_count else ""
    return ", ".join(filter(None, (kind, count, model.quantization)))
