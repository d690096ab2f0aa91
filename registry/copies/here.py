"""Models as this machine has them: rows, with the paths of its own copies."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from registry.gguf.describe import VERSION
from registry.models import FileState, ModelCopy
from registry.scan.scanner import KnownModel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from registry.models import Model

#: The copies of one machine by fingerprint.
OwnCopies = dict[str, list[ModelCopy]]


def by_fingerprint(copies: Iterable[ModelCopy]) -> OwnCopies:
    """Return copies by the fingerprint of their model."""
    found: OwnCopies = defaultdict(list)
    for copy in copies:
        found[copy.fingerprint].append(copy)
    return dict(found)


def own_copy(model: Model, own: Mapping[str, Sequence[ModelCopy]]) -> ModelCopy | None:
    """Return this machine's copy of a model, that of the row's own path first."""
    copies = own.get(model.fingerprint, ())
    same = (copy for copy in copies if copy.path == model.path)
    return next(same, copies[0] if copies else None)


def use_own_copy(model: Model, own: Mapping[str, Sequence[ModelCopy]]) -> None:
    """Let a model have the paths and the time of this machine's copy, in memory only.

    One that this machine lacks keeps those of its row.
    """
    copy = own_copy(model, own)
    if copy is not None:
        model.path, model.shards = copy.path, list(copy.shards)
        model.mtime_ns = copy.mtime_ns


def use_copy_here(model: Model) -> None:
    """Do the same by what this machine has reported, if the row's path is not here."""
    if all(path.exists() for path in model.paths):
        return
    copies = ModelCopy.objects.here().filter(fingerprint=model.fingerprint)
    use_own_copy(model, by_fingerprint(copies))


def known_models(rows: Iterable[Model]) -> list[KnownModel]:
    """Return what a scan on this machine has to know of the registry.

    A model that other machines have as well is where this machine has it; one that they
    alone have is not missed here.
    """
    elsewhere: dict[str, set[str]] = defaultdict(set)
    others = ModelCopy.objects.elsewhere().values_list("fingerprint", "path")
    for fingerprint, path in others:
        elsewhere[fingerprint].add(path)
    own = by_fingerprint(ModelCopy.objects.here()) if elsewhere else {}
    return [_known(row, own, elsewhere.get(row.fingerprint, set())) for row in rows]


def _known(row: Model, own: OwnCopies, elsewhere: set[str]) -> KnownModel:
    copy = own_copy(row, own) if elsewhere else None
    paths = tuple(row.shards) or (row.path,)
    return KnownModel(
        pk=row.pk,
        name=row.name,
        paths=copy.paths if copy is not None else paths,
        size=row.file_size,
        mtime_ns=copy.mtime_ns if copy is not None else row.mtime_ns,
        fingerprint=row.fingerprint,
        is_found=row.state == FileState.FOUND,
        is_current=row.description_version == VERSION,
        row_path=row.path,
        is_elsewhere=bool(elsewhere),
        is_path_elsewhere=row.path in elsewhere,
    )
