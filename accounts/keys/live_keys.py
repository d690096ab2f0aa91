"""Which of the API keys that have requests running may no longer have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import User
from django.utils import timezone

from accounts.errors import ApiKeyEnded, PlaygroundNotAllowed
from accounts.keys.key_access import allowed_model_ids, key_fault, keys_with_access
from accounts.keys.key_marks import key_marks
from accounts.keys.session import session_access
from accounts.models import ApiKey, Scope
from accounts.session_access import session_owner_id

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from accounts.keys.key_marks import Mark

    #: A key's prefix, and the primary key of the model that it uses.
    KeyUse = tuple[str, int]


class LiveKeys:
    """The uses of keys that go on, and what was known of each at the last look.

    Most looks find that nothing has changed, for which marks are enough. Used by one
    caller at a time.
    """

    def __init__(self) -> None:
        #: The mark of a use that may go on, and when its key expires.
        self._sound: dict[KeyUse, tuple[Mark, datetime | None]] = {}

    def ended(self, uses: Collection[KeyUse]) -> dict[KeyUse, ApiKeyEnded]:
        """Return the uses that have to end, each with the error that says why.

        It makes one query, whatever the number of keys, and two or three more if any
        has changed; and for people without one a query, and three for each of them.
        """
        owners = {prefix: session_owner_id(prefix) for prefix, _ in uses}
        people = {pk for pk in owners.values() if pk is not None}
        ended = _ended_sessions(uses, people) if people else {}
        by_key = [use for use in uses if owners[use[0]] is None]
        self._sound = {use: self._sound[use] for use in by_key if use in self._sound}
        return {**ended, **self._ended(by_key)} if by_key else ended

    def _ended(self, uses: Collection[KeyUse]) -> dict[KeyUse, ApiKeyEnded]:
        # Before the rows: what changes between is seen at the next look.
        marks = key_marks({prefix for prefix, _ in uses})
        changed = [use for use in uses if not self._is_sound(use, marks.get(use[0]))]
        if not changed:
            return {}
        prefixes = {prefix for prefix, _ in changed}
        keys = keys_with_access().filter(prefix__in=prefixes).order_by()
        found = {key.prefix: key for key in keys}
        ended = {}
        for use in changed:
            prefix, model_id = use
            key, mark = found.get(prefix), marks.get(prefix)
            error = _reason(prefix, key, model_id)
            if error is not None:
                ended[use] = error
                self._sound.pop(use, None)
            elif key is not None and mark is not None:
                self._sound[use] = (mark, key.expires_at)
        return ended

    def _is_sound(self, use: KeyUse, mark: Mark | None) -> bool:
        """Whether a use goes on as it did at the last look."""
        known, expires_at = self._sound.get(use, (None, None))
        has_expired = expires_at is not None and expires_at <= timezone.now()
        return mark is not None and mark == known and not has_expired


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
