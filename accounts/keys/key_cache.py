"""The keys that requests present, as of the last second."""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.db.models import Prefetch
from django.db.models.signals import m2m_changed, post_delete, post_save

from accounts.models import ApiKey
from llm_manager.lib.row_cache import RecentRows
from registry.models import Model


def _read(prefix: str) -> ApiKey:
    models = Prefetch("allowed_models", Model.objects.only("pk"))
    keys = ApiKey.objects.select_related("owner").prefetch_related(models)
    return keys.get(prefix=prefix)


#: The key with a prefix, its owner and the ids of its models: two queries. Raises
#: ApiKey.DoesNotExist.
known_key = RecentRows(_read, size=1024)


def watch() -> None:
    """See what this process changes at once, a revocation above all."""
    for changed in (ApiKey, get_user_model(), Model):
        for signal in (post_save, post_delete):
            signal.connect(known_key.forget, sender=changed)
    m2m_changed.connect(known_key.forget, sender=ApiKey.allowed_models.through)
