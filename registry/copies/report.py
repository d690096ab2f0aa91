"""A node's report of its model files: rows that are what is on its disks now."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from django.db import transaction

from registry.errors import InvalidGGUF
from registry.models import FileState, Model, ModelCopy
from registry.scan.files import fingerprint_now, group_files
from registry.scan.folders import find_files, is_under, resolve_root
from registry.served_models import served_model

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from registry.scan.files import ModelFiles

#: Rows in one statement; databases limit its parameters.
_BATCH = 500


def copies_report(node_id: int, roots: Sequence[Path]) -> list[ModelCopy]:
    """Write which model files this machine has; return the rows.

    ``roots`` are the models directories, the first one first; files elsewhere count if
    they are of a known model. Files whose size and time are known are not read, of
    others at most 2 MiB each. What cannot be read is left out.
    """
    resolved = [resolve_root(root) for root in roots]
    before = {copy.path: copy for copy in ModelCopy.objects.filter(node_id=node_id)}
    scanned = {tuple(map(str, row.paths)): row for row in _scanned()}
    found = [*resolved, *_outside(scanned, resolved)]
    models, _ = group_files(find_files(found).files)
    now: dict[str, ModelCopy] = {}
    for files in models:
        old, row = before.get(files.path), scanned.get(files.paths)
        fingerprint = next(
            (
                each.fingerprint
                for each in (old, row)
                if each is not None and _is_of(each, files)
            ),
            None,
        ) or _fingerprint(files)
        if fingerprint is not None:
            now[files.path] = ModelCopy(
                pk=old.pk if old is not None else None,
                node_id=node_id,
                path=files.path,
                shards=list(files.paths) if len(files.paths) > 1 else [],
                place=_place(files.path, resolved),
                size=files.size,
                mtime_ns=files.mtime_ns,
                fingerprint=fingerprint,
            )
    _write(before, now)
    _bring_back(now.values())
    return list(now.values())


def _scanned() -> Iterator[Model]:
    columns = ("path", "shards", "file_size", "mtime_ns", "fingerprint")
    yield from Model.objects.files().only(*columns)


def _outside(
    scanned: dict[tuple[str, ...], Model], roots: Sequence[Path]
) -> Iterator[Path]:
    """Yield the files of known models that are here, and not below the roots."""
    for paths in scanned:
        if not any(is_under(paths[0], str(root)) for root in roots):
            yield from (Path(path) for path in paths if os.path.lexists(path))


def _is_of(known: ModelCopy | Model, files: ModelFiles) -> bool:
    size = known.size if isinstance(known, ModelCopy) else known.file_size
    paths = tuple(map(str, known.paths))
    return (paths, size, known.mtime_ns) == (files.paths, files.size, files.mtime_ns)


def _fingerprint(files: ModelFiles) -> str | None:
    try:
        return fingerprint_now([Path(path) for path in files.paths])
    except (InvalidGGUF, OSError):
        return None


def _place(path: str, roots: Sequence[Path]) -> str:
    """Return a path relative to the first root that it is below; else ""."""
    for root in roots:
        if is_under(path, str(root)) and path != str(root):
            return str(Path(path).relative_to(root))
    return ""


@transaction.atomic
def _write(before: dict[str, ModelCopy], now: dict[str, ModelCopy]) -> None:
    gone = [copy.pk for path, copy in before.items() if path not in now]
    for start in range(0, len(gone), _BATCH):
        ModelCopy.objects.filter(pk__in=gone[start : start + _BATCH]).delete()
    ModelCopy.objects.bulk_create(
        (copy for path, copy in now.items() if path not in before), batch_size=_BATCH
    )
    for path, copy in now.items():
        if path in before and _said(copy) != _said(before[path]):
            copy.save()


def _bring_back(copies: Iterable[ModelCopy]) -> None:
    """Record missing models as found that are on this machine.

    They were missed while its engine did not run.
    """
    here = {copy.fingerprint for copy in copies}
    missing = Model.objects.files().filter(state=FileState.MISSING)
    known = missing.values_list("pk", "fingerprint")
    back = [pk for pk, fingerprint in known if fingerprint in here]
    for start in range(0, len(back), _BATCH):
        rows = Model.objects.filter(pk__in=back[start : start + _BATCH])
        rows.update(state=FileState.FOUND)
    if back:
        # Bulk updates send no signals.
        served_model.clear()


def _said(copy: ModelCopy) -> tuple[object, ...]:
    return (copy.paths, copy.place, copy.size, copy.mtime_ns, copy.fingerprint)
