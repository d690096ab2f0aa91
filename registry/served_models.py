"""The models that requests name, cached for one second."""

from __future__ import annotations

from django.db.models.signals import post_delete, post_save

from llm_manager.lib.row_cache import RowCache
from registry.models import Alias, Attachment, Model


def _read(name: str) -> Model:
    return Model.objects.servable().resolve(name)


#: The model with this id, alias, file name or ``model:adapter``. Raises ModelNotFound.
served_model = RowCache(_read, size=256)


def connect_signals() -> None:
    """Clear the cache when this process changes a model, an alias or an adapter."""
    for changed in (Model, Alias, Attachment):
        for signal in (post_save, post_delete):
            signal.connect(served_model.clear, sender=changed)
