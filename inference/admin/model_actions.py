"""Loading and unloading models from the admin, and the messages about it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from django.conf import settings
from django.contrib import messages
from redis.exceptions import RedisError

from inference import services
from inference.admin.load_effect import makes_room
from inference.errors import InferenceError
from inference.load_preview import load_preview
from inference.models import EngineNode, StopOrder, Worker
from inference.status import worker_state
from registry.errors import RegistryError
from registry.models import Model

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

logger = logging.getLogger(__name__)

#: What a service raises when it refuses, or cannot reach the database or Redis.
_FAILURES = (InferenceError, RegistryError, RedisError, OSError)
_MAX_NAMES = 10


class ActionOutcome(NamedTuple):
    """What an action did with one model: a sentence around the model's name.

    ``log_entry`` goes to the model's history; it is empty if nothing changed.
    """

    level: int
    before: str
    model: str
    after: str = "."
    log_entry: str = ""


def load(model: Model) -> ActionOutcome:
    """Request that the model is loaded; say what it makes room by."""
    if not Model.objects.servable().filter(pk=model.pk).exists():
        reason = (
            ": disabled, without a file, or not a kind of model that answers requests."
        )
        return ActionOutcome(messages.ERROR, "Cannot load ", model.name, reason)
    preview = load_preview(model)
    try:
        worker = services.worker_request(model=model)
    except _FAILURES as error:
        return _failure("load", model, error)
    if worker_state(worker).name == "ready":
        return ActionOutcome(messages.INFO, "Already loaded: ", model.name)
    log_entry = "Asked the engine to load it."
    if EngineNode.objects.alive().exists():
        before = "The engine was asked to load "
        after = "."
        if preview is not None and preview.evicts:
            after = f". It {makes_room(preview)}."
        return ActionOutcome(messages.SUCCESS, before, model.name, after, log_entry)
    before = "No engine is running. The next one that starts will load "
    return ActionOutcome(messages.WARNING, before, model.name, log_entry=log_entry)


def unload(model: Model, *, by: str, is_now: bool) -> ActionOutcome:
    """Order that the model is unloaded, after its running requests or now."""
    running = running_requests(model)
    try:
        released = services.worker_release(model=model, by=by, is_now=is_now)
    except _FAILURES as error:
        return _failure("unload", model, error)
    if not released:
        return ActionOutcome(messages.INFO, "Not loaded: ", model.name)
    return ActionOutcome(
        messages.SUCCESS,
        "The engine was asked to unload ",
        model.name,
        _what_happens(running, is_now=is_now, now="end with an error"),
        log_entry=f"Asked the engine to unload it{_when(is_now)}.",
    )


def reload(model: Model, *, by: str, is_now: bool) -> ActionOutcome:
    """Order that the model is loaded again, after its running requests or now."""
    running = running_requests(model)
    try:
        reloaded = services.worker_reload(model=model, by=by, is_now=is_now)
    except _FAILURES as error:
        return _failure("reload", model, error)
    if not reloaded:
        return ActionOutcome(messages.INFO, "Not loaded: ", model.name)
    return ActionOutcome(
        messages.SUCCESS,
        "The engine was asked to reload ",
        model.name,
        _what_happens(running, is_now=is_now, now="continue after that"),
        log_entry=f"Asked the engine to reload it{_when(is_now)}.",
    )


def disable(model: Model, *, by: str) -> ActionOutcome | None:
    """Order that a model which was disabled is unloaded; None if it was not loaded."""
    running = running_requests(model)
    action = StopOrder.Action.DISABLE
    try:
        released = services.worker_release(model=model, by=by, action=action)
    except _FAILURES as error:
        return _failure("unload", model, error)
    if not released:
        return None
    return ActionOutcome(
        messages.SUCCESS,
        "Disabled; the engine was asked to unload ",
        model.name,
        _what_happens(running, is_now=False, now=""),
    )


def running_requests(model: Model) -> int:
    """Return how many requests run on a model, as its workers last reported."""
    workers = Worker.objects.in_service().filter(model=model)
    return sum(workers.values_list("running", flat=True))


def _when(is_now: bool) -> str:  # noqa: FBT001
    return " now" if is_now else " after its running requests"


def _what_happens(running: int, *, is_now: bool, now: str) -> str:
    """Return the end of a sentence: what becomes of the running requests."""
    if not running:
        return "."
    requests = f"{running} running request{'' if running == 1 else 's'}"
    if is_now:
        return f" now: its {requests} {now}."
    limit = settings.CONFIG.engine.drain_timeout
    return f" after its {requests}, which may take {limit} s (engine.drain_timeout)."


def outcome_messages(outcomes: Iterable[ActionOutcome]) -> Iterator[tuple[int, str]]:
    """Yield a level and a text for each kind of outcome, with its models' names."""
    names: dict[tuple[int, str, str], list[str]] = {}
    for each in outcomes:
        names.setdefault((each.level, each.before, each.after), []).append(each.model)
    for (level, before, after), models in names.items():
        shown = ", ".join(models[:_MAX_NAMES])
        if len(models) > _MAX_NAMES:
            shown += f" and {len(models) - _MAX_NAMES} more"
        yield level, f"{before}{shown}{after}"


def _failure(verb: str, model: Model, error: Exception) -> ActionOutcome:
    logger.warning("%sing %r failed: %s", verb, model.name, error)
    return ActionOutcome(messages.ERROR, f"Could not {verb} ", model.name, f": {error}")
