"""The models that requests name, as of the last second."""

from __future__ import annotations

from django.db.models.signals import post_delete, post_save

from llm_manager.lib.row_cache import RecentRows
from registry.models import Alias, Attachment, Model


def _read(name: str) -> Model:
    return Model.objects.servable().resolve(name)


#: The model with an id, alias or file name, or by an adapter's. Raises ModelNotFound.
served_model = RecentRows(_read, size=256)


def watch() -> None:
    """See what this process changes at once."""
    for changed in (Model, Alias, Attachment):
        for signal in (post_save, post_delete):
            signal.connect(served_model.forget, sender=changed)
