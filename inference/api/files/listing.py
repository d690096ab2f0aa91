"""Lists of an owner's rows, a page at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inference.api.errors import BadRequest
from llm_manager.lib.quoting import quote, storable

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import QuerySet
    from django.http import QueryDict

#: The parameters of every list.
PARAMETERS = ("after", "limit", "order")


def check_parameters(query: QueryDict, *known: str) -> None:
    """Refuse parameters of other names. Raises BadRequest."""
    for name in query:
        if name not in known:
            raise BadRequest(
                f"Unknown parameter: '{quote(name)}'.",
                param=quote(name),
                code="unknown_parameter",
            )


def page_of(
    rows: QuerySet[Any],
    query: QueryDict,
    describe: Callable[[Any], dict[str, Any]],
    *,
    default: int,
    most: int,
) -> dict[str, Any]:
    """Return a page of rows, the newest first unless ``order`` says otherwise.

    Their ids are in order of time. Raises BadRequest.
    """
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise BadRequest(
            "Invalid value for 'order': it must be asc or desc.", param="order"
        )
    limit = _limit(query.get("limit", str(default)), most)
    found = rows.order_by("pk" if order == "asc" else "-pk")
    if after := query.get("after"):
        after = storable(after)
        found = found.filter(
            **{"pk__gt": after} if order == "asc" else {"pk__lt": after}
        )
    data = [describe(row) for row in found[: limit + 1]]
    shown = data[:limit]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else "",
        "last_id": shown[-1]["id"] if shown else "",
        "has_more": len(data) > limit,
    }


def _limit(text: str, most: int) -> int:
    if not (text.isdecimal() and len(text) < 6 and 1 <= int(text) <= most):
        raise BadRequest(
            f"Invalid value for 'limit': it must be between 1 and {most}.",
            param="limit",
        )
    return int(text)
