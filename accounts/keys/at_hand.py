"""Whether all that decides about a key is in memory: its check waits for nobody."""

from __future__ import annotations

from accounts.key_secrets import prefix_of
from accounts.keys.key_access import key_fault
from accounts.keys.key_cache import cached_key
from accounts.keys.unknown_keys import unknown_keys
from accounts.limits.limit_rows import are_rules_at_hand


def is_key_at_hand(text: str | None) -> bool:
    """Return whether a check of this key asks neither the database nor Redis.

    It was right before, nothing is wrong with it by now, and its row and its limits
    have just been read.
    """
    if text is None or not unknown_keys.is_known(text):
        return False
    prefix = prefix_of(text)
    key = None if prefix is None else cached_key.at_hand(prefix)
    return key is not None and key_fault(key) is None and are_rules_at_hand(key)
