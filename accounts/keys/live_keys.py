"""Which of the API keys that have requests running may no longer have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accounts.errors import ApiKeyEnded
from accounts.keys.key_access import allowed_model_ids, key_fault, keys_with_access
from accounts.models import ApiKey, Scope

if TYPE_CHECKING:
    from collections.abc import Collection

    #: A key's prefix, and the primary key of the model that it uses.
    KeyUse = tuple[str, int]


def ended_key_uses(uses: Collection[KeyUse]) -> dict[KeyUse, ApiKeyEnded]:
    """Return the uses that have to end, each with the error that says why.

    It makes two queries, or three with teams, whatever the number of keys.
    """
    prefixes = {prefix for prefix, _ in uses}
    keys = keys_with_access().filter(prefix__in=prefixes)
    found = {key.prefix: key for key in keys}
    ended = {}
    for prefix, model_id in uses:
        error = _reason(prefix, found.get(prefix), model_id)
        if error is not None:
            ended[prefix, model_id] = error
    return ended


def _reason(prefix: str, key: ApiKey | None, model_id: int) -> ApiKeyEnded | None:
    if key is None:
        return ApiKeyEnded(f"The API key {prefix}… was deleted", "key_deleted")
    fault = key_fault(key)
    if fault is not None:
        return fault
    allowed = allowed_model_ids(key)
    may_use = allowed is None or model_id in allowed
    if not may_use or not key.has_scope(Scope.INFERENCE):
        return ApiKeyEnded(
            f"The API key '{key.name}' ({prefix}…) may not use this model any more",
            "key_restricted",
        )
    return None
