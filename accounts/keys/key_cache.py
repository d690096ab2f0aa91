"""The API keys that requests present, cached for one second."""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.db.models import Prefetch
from django.db.models.signals import m2m_changed, post_delete, post_save

from accounts.models import ApiKey
from llm_manager.lib.row_cache import RowCache
from registry.models import Model


def _read(prefix: str) -> ApiKey:
    models = Prefetch("allowed_models", Model.objects.only("pk"))
    keys = ApiKey.objects.select_related("owner").prefetch_related(models)
    return keys.get(prefix=prefix)


#: The key with a prefix, its owner and the ids of its models: two queries. Raises
#: ApiKey.DoesNotExist.
cached_key = RowCache(_read, size=1024)


def connect_signals() -> None:
    """Clear the cache when this process changes a key, an owner or a model.

    So a revocation takes effect here at once.
    """
    for changed in (ApiKey, get_user_model(), Model):
        for signal in (post_save, post_delete):
            signal.connect(cached_key.clear, sender=changed)
    m2m_changed.connect(cached_key.clear, sender=ApiKey.allowed_models.through)
