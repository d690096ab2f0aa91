"""What loading a model does to those that are loaded, in words for the admin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils import timezone

from llm_manager.lib.units import human_age

if TYPE_CHECKING:
    from inference.load_preview import LoadPreview
    from inference.models import Worker


def load_effect(preview: LoadPreview) -> str:
    """Return what happens if the model is loaded now, as a sentence."""
    if preview.fits_now:
        return "Now: it fits beside the loaded models."
    if preview.evicts or preview.unloads:
        return f"Now: loading it {makes_room(preview)}."
    return f"Now: {preview.reason[:1].lower()}{preview.reason[1:]}"


def makes_room(preview: LoadPreview) -> str:
    """Return ``makes room by unloading llama, idle for 3 min``."""
    named = [f"{worker}, {_use(worker)}" for worker in preview.evicts]
    named += [f"{name}, loaded just before" for name in preview.unloads]
    *first, last = named
    return "makes room by unloading " + (
        f"{'; '.join(first)}; and {last}" if first else last
    )


def _use(worker: Worker) -> str:
    if worker.running:
        many = "" if worker.running == 1 else "s"
        return f"after its {worker.running} running request{many}"
    if worker.last_used_at is None:
        return "not used yet"
    age = human_age(worker.last_used_at, timezone.now())
    return (
        f"idle for {age.removesuffix(' ago')}" if age.endswith("ago") else "just used"
    )
