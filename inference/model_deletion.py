"""Deleting a model with its files: what would break, and the deletion itself."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import transaction

from accounts.audit.log import note
from accounts.models import ApiKey, Team
from inference import services
from inference.models import Worker, WorkerState
from llm_manager.lib.errors import INVALID, LLMManagerError
from registry.models import ModelCopy
from registry.scan.folders import is_under, resolve_root
from registry.services import configured_roots

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from registry.models import Model

logger = logging.getLogger(__name__)

_MAX_NAMES = 10


class DeletionRefused(LLMManagerError):
    """A model that cannot be deleted, or only after a confirmation."""

    code = "deletion_refused"
    type = INVALID


class DeletionUnconfirmed(DeletionRefused):
    """A deletion that would break something, which nobody has confirmed."""

    code = "confirmation_needed"


@dataclass(frozen=True, slots=True)
class DeletionEffects:
    """What a deletion deletes and breaks, for people.

    ``breaks`` are sentences, ``files`` all files, ``projector`` the row that goes too.
    ``kept_on`` are other machines that have the files as well, and keep them.
    """

    files: tuple[Path, ...]
    breaks: tuple[str, ...]
    size: int
    is_loaded: bool
    projector: Model | None = None
    kept_on: tuple[str, ...] = ()

    @property
    def kept(self) -> str:
        """Return what becomes of the files elsewhere, in a sentence; "" if nothing."""
        if not self.kept_on:
            return ""
        verb = "keeps" if len(self.kept_on) == 1 else "keep"
        return (
            f"{_names(self.kept_on)} {verb} the files: delete them there, or the next "
            "scan there makes them a model again."
        )


def check_own_name(model: Model, name: str) -> None:
    """Raise DeletionRefused if ``name`` means the model together with an adapter."""
    named = model.attachments.named(name)
    if name != model.name and named.exists():
        raise DeletionRefused(
            f"'{name}' is the model '{model}' with an adapter, and has no files of its "
            "own. Delete the model or the adapter by its own id."
        )


def deletion_effects(model: Model) -> DeletionEffects:
    """Return what would be deleted with a model, and what it would break."""
    projector = _own_projector(model)
    rows = [model] if projector is None else [model, projector]
    workers = Worker.objects.filter(model=model).exclude(state=WorkerState.FAILED)
    return DeletionEffects(
        files=tuple(path for row in rows for path in row.paths),
        breaks=tuple(_breaks(model, list(workers))),
        size=sum(row.file_size for row in rows),
        is_loaded=bool(workers),
        projector=projector,
        kept_on=_kept_on(rows),
    )


def model_delete_files(*, model: Model, by: str, is_confirmed: bool) -> DeletionEffects:
    """Delete a model, its files and its own projector; return what went.

    Raises DeletionRefused for files outside of the models directories, and while it is
    loaded: it is unloaded then, and the next attempt succeeds. Raises
    DeletionUnconfirmed if something would break.
    """
    effects = deletion_effects(model)
    _check_places(effects.files)
    if effects.breaks and not is_confirmed:
        raise DeletionUnconfirmed(
            f"Deleting '{model}' breaks something: {' '.join(effects.breaks)} "
            "Confirm it to delete the model nevertheless."
        )
    if effects.is_loaded:
        # No request may load it again meanwhile.
        model.is_enabled = False
        model.save(update_fields=["is_enabled"])
        services.worker_release(model=model, by=by, is_now=True)
        raise DeletionRefused(
            f"'{model}' is loaded. It is disabled and being unloaded now; delete it "
            "again in a moment."
        )
    with transaction.atomic():
        note(model, "files deleted", files=[str(path) for path in effects.files])
        if effects.projector is not None:
            effects.projector.delete()
        model.delete()
    _unlink(effects.files)
    return effects


def _kept_on(models: Sequence[Model]) -> tuple[str, ...]:
    """Return the other machines with copies of these models, by name."""
    copies = [ModelCopy.objects.apart_from(model) for model in models]
    names = (each.values_list("node__name", flat=True) for each in copies)
    return tuple(sorted(set().union(*names)))


def _own_projector(model: Model) -> Model | None:
    """Return the model's projector if no other model uses it."""
    projector = model.projector
    if projector is None or projector.language_models.exclude(pk=model.pk).exists():
        return None
    return projector


def _breaks(model: Model, workers: Sequence[Worker]) -> Iterator[str]:
    aliases = [alias.name for alias in model.aliases.all()]
    if aliases:
        yield f"Requests can no longer use its aliases {_names(aliases)}."
    keys = ApiKey.objects.usable().filter(all_models=False, allowed_models=model)
    if found := [key.name for key in keys]:
        yield f"API keys are restricted to it: {_names(found)}."
    teams = Team.objects.filter(all_models=False, allowed_models=model)
    if found := [str(team) for team in teams]:
        yield f"Teams are restricted to it: {_names(found)}."
    if found := [each.name for each in model.drafts_for.all()]:
        yield f"It is the draft model of {_names(found)}."
    attached = model.attached_to.select_related("model")
    if found := [each.model.name for each in attached]:
        yield f"It is an adapter of {_names(found)}."
    if found := [each.name for each in model.language_models.all()]:
        yield f"It is the projector of {_names(found)}."
    running = sum(worker.running for worker in workers)
    waiting = sum(worker.waiting for worker in workers)
    if running or waiting:
        yield f"{running} requests run on it and {waiting} wait; they end."
    elif workers:
        yield "It is loaded."


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:_MAX_NAMES])
    more = len(names) - _MAX_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


def _check_places(files: Sequence[Path]) -> None:
    """Raise DeletionRefused unless all files are below the models directories."""
    roots = [str(resolve_root(root)) for root in configured_roots()]
    for path in files:
        if not any(is_under(str(path), root) for root in roots):
            raise DeletionRefused(
                f"'{path.name}' is outside of the models directories. Delete the file "
                "where it is, and the model's row alone here."
            )


def _unlink(files: Sequence[Path]) -> None:
    """Delete files, and the folders that are empty then. A link's target stays."""
    roots = {resolve_root(root) for root in configured_roots()}
    failed = []
    for path in files:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            failed.append(f"{path.name}: {error.strerror}")
            continue
        folder = path.parent
        while folder not in roots and any(root in folder.parents for root in roots):
            try:
                folder.rmdir()
            except OSError:
                break
            folder = folder.parent
    if failed:
        raise DeletionRefused(
            f"The model is deleted, but not all of its files: {', '.join(failed)}. "
            "The next scan registers what is left."
        )
