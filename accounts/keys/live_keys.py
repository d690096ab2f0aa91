"""Which of the API keys that have requests running may no longer have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Prefetch

from accounts.errors import ApiKeyEnded
from accounts.models import ApiKey, Scope
from registry.models import Model

if TYPE_CHECKING:
    from collections.abc import Collection

    #: A key's prefix, and the primary key of the model that it uses.
    KeyUse = tuple[str, int]


def ended_key_uses(uses: Collection[KeyUse]) -> dict[KeyUse, ApiKeyEnded]:
    """Return the uses that have to end, each with the error that says why.

    It makes two queries, whatever the number of keys.
    """
    prefixes = {prefix for prefix, _ in uses}
    keys = ApiKey.objects.filter(prefix__in=prefixes).select_related(
        "owner", "revoked_by"
    )
    models = Prefetch("allowed_models", Model.objects.only("pk"))
    found = {key.prefix: key for key in keys.prefetch_related(models)}
    ended = {}
    for prefix, model_id in uses:
        error = _reason(prefix, found.get(prefix), model_id)
        if error is not None:
            ended[prefix, model_id] = error
    return ended


def _reason(prefix: str, key: ApiKey | None, model_id: int) -> ApiKeyEnded | None:
    if key is None:
        return ApiKeyEnded(f"The API key {prefix}… was deleted", "key_deleted")
    name = f"The API key '{key.name}' ({prefix}…)"
    if not key.is_active:
        by = f" by the administrator {key.revoked_by}" if key.revoked_by else ""
        return ApiKeyEnded(f"{name} was revoked{by}", "key_revoked")
    if key.expires_at is not None and key.is_expired:
        when = f"{key.expires_at:%Y-%m-%d %H:%M:%S} UTC"
        return ApiKeyEnded(f"{name} expired at {when}", "key_expired")
    if not key.owner.is_active:
        return ApiKeyEnded(
            f"The owner of the API key '{key.name}' ({prefix}…) was deactivated",
            "key_owner_inactive",
        )
    allowed = {model.pk for model in key.allowed_models.all()}
    may_use = not allowed or model_id in allowed
    if not may_use or not key.has_scope(Scope.INFERENCE):
        return ApiKeyEnded(f"{name} may not use this model any more", "key_restricted")
    return None
