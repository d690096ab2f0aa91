"""The API keys that requests present, cached for one second."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db.models.signals import m2m_changed, post_delete, post_save

from accounts.keys.key_access import keys_with_access
from accounts.models import ApiKey, Team
from llm_manager.lib.row_cache import RowCache
from registry.models import Model


def _read(prefix: str) -> ApiKey:
    return keys_with_access().get(prefix=prefix)


#: The key with a prefix, its owner, its team and the ids of their models: two queries,
#: three with a team. Raises ApiKey.DoesNotExist.
cached_key = RowCache(_read, size=1024)


def connect_signals() -> None:
    """Clear the cache when this process changes a key, an owner, a team or a model.

    So a revocation takes effect here at once.
    """
    for changed in (ApiKey, Team, User, Model):
        for signal in (post_save, post_delete):
            signal.connect(cached_key.clear, sender=changed)
    for many in (ApiKey.allowed_models, Team.allowed_models, User.groups):
        m2m_changed.connect(cached_key.clear, sender=many.through)
