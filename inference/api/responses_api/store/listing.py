"""Lists of items, a page at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inference.api.errors import BadRequest
from llm_manager.lib.quoting import quote, storable

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import QueryDict

    from accounts.models import StoredItem

#: OpenAI's numbers.
_DEFAULT, _MOST = 20, 100
_PARAMETERS = ("after", "include", "include[]", "limit", "order")


def page_of(items: QuerySet[StoredItem], query: QueryDict) -> dict[str, Any]:
    """Return a page of items, the newest first unless ``order`` says otherwise.

    Raises BadRequest.
    """
    for name in query:
        if name not in _PARAMETERS:
            raise BadRequest(
                f"Unknown parameter: '{quote(name)}'.",
                param=name,
                code="unknown_parameter",
            )
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise BadRequest(
            "Invalid value for 'order': it must be asc or desc.", param="order"
        )
    limit = _limit(query.get("limit", str(_DEFAULT)))
    found = items.order_by("pk" if order == "asc" else "-pk")
    if after := query.get("after"):
        start = items.filter(item_id=storable(after)).first()
        if start is None:
            raise BadRequest(
                f"Invalid value for 'after': there is no item '{quote(after)}'.",
                param="after",
            )
        beyond = {"pk__gt": start.pk} if order == "asc" else {"pk__lt": start.pk}
        found = found.filter(**beyond)
    data = [row.item for row in found[: limit + 1]]
    shown = data[:limit]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else "",
        "last_id": shown[-1]["id"] if shown else "",
        "has_more": len(data) > limit,
    }


def _limit(text: str) -> int:
    if not (text.isdecimal() and len(text) < 4 and 1 <= int(text) <= _MOST):
        raise BadRequest(
            f"Invalid value for 'limit': it must be between 1 and {_MOST}.",
            param="limit",
        )
    return int(text)
