"""How many bytes an owner may have stored, and a request may go on from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db.models import Count, Sum

from accounts.models import StoredItem, StoredResponse
from inference.api.errors import BadRequest
from llm_manager.config.in_force import config

if TYPE_CHECKING:
    from django.db.models import QuerySet

_MIB = 1024 * 1024


class StoreFull(BadRequest):
    """A request that would store more than its owner may have stored."""

    def __init__(self, used: int, quota: int, param: str) -> None:
        super().__init__(
            f"What is stored for you has {used:,} bytes with this request, and at most "
            f"{quota:,} are kept (api.store_quota_mb). Delete responses or "
            "conversations, or send 'store': false.",
            param=param,
            code="store_quota_exceeded",
        )


def size_of(value: Any) -> int:
    """Return how many bytes a JSON value takes."""
    return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def check_quota(owner_id: int, adding: int, param: str = "store") -> None:
    """Refuse to store so many bytes more. Raises StoreFull. Two queries.

    An answer is stored after its request was let in, so the last ones may go beyond.
    """
    quota = settings.CONFIG.api.store_quota_mb * _MIB
    used = adding + sum(
        kind.objects.filter(owner_id=owner_id).aggregate(sum=Sum("size"))["sum"] or 0
        for kind in (StoredItem, StoredResponse)
    )
    if used > quota:
        raise StoreFull(used, quota, param)


class CountedHistory:
    """What a request goes on from, counted before it is read."""

    def __init__(self) -> None:
        self._number = self._size = 0

    def add(self, items: QuerySet[StoredItem]) -> None:
        """Count items. Raises BadRequest if they are more than a request may have."""
        found = items.aggregate(number=Count("pk"), size=Sum("size"))
        self._number += found["number"]
        self._size += found["size"] or 0
        limits = config().limits
        if self._number > limits.max_messages:
            raise BadRequest(
                f"Too many items with those that came before: {self._number}, and at "
                f"most {limits.max_messages} are allowed.",
                param="input",
                code="too_many_items",
            )
        if self._size > limits.max_body_mb * _MIB:
            raise BadRequest(
                f"The items that came before have {self._size:,} bytes, and at most "
                f"{limits.max_body_mb * _MIB:,} are allowed (limits.max_body_mb).",
                param="input",
                code="request_too_large",
            )
