"""Which of the API keys that have requests running may no longer have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import User

from accounts.errors import ApiKeyEnded, PlaygroundNotAllowed
from accounts.keys.key_access import allowed_model_ids, key_fault, keys_with_access
from accounts.keys.session import session_access
from accounts.models import ApiKey, Scope
from accounts.session_access import session_owner_id

if TYPE_CHECKING:
    from collections.abc import Collection

    #: A key's prefix, and the primary key of the model that it uses.
    KeyUse = tuple[str, int]


def ended_key_uses(uses: Collection[KeyUse]) -> dict[KeyUse, ApiKeyEnded]:
    """Return the uses that have to end, each with the error that says why.

    It makes two queries, or three with teams, whatever the number of keys; and for
    people without one a query, and three for each of them.
    """
    owners = {prefix: session_owner_id(prefix) for prefix, _ in uses}
    people = {pk for pk in owners.values() if pk is not None}
    ended = _ended_sessions(uses, people) if people else {}
    by_key = [use for use in uses if owners[use[0]] is None]
    return {**ended, **_ended_keys(by_key)} if by_key else ended


def _ended_keys(uses: Collection[KeyUse]) -> dict[KeyUse, ApiKeyEnded]:
    prefixes = {prefix for prefix, _ in uses}
    # Their order would double what this takes, twice a second.
    keys = keys_with_access().filter(prefix__in=prefixes).order_by()
    found = {key.prefix: key for key in keys}
    ended = {}
    for prefix, model_id in uses:
        error = _reason(prefix, found.get(prefix), model_id)
        if error is not None:
            ended[prefix, model_id] = error
    return ended


def _ended_sessions(
    uses: Collection[KeyUse], people: Collection[int]
) -> dict[KeyUse, ApiKeyEnded]:
    users = {user.pk: user for user in User.objects.filter(pk__in=people)}
    ended = {}
    for prefix, model_id in uses:
        pk = session_owner_id(prefix)
        if pk is not None and (fault := _session_fault(users.get(pk), model_id)):
            ended[prefix, model_id] = ApiKeyEnded(fault, "session_ended")
    return ended


def _session_fault(user: User | None, model_id: int) -> str | None:
    """Return why a person may not go on with a request, or None."""
    if user is None or not user.is_active:
        return "Your user was deleted or deactivated"
    try:
        allowed = session_access(user).model_ids
    except PlaygroundNotAllowed:
        return f"'{user}' may not use the playground any more"
    if allowed is not None and model_id not in allowed:
        return f"'{user}' may not use this model any more"
    return None


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
