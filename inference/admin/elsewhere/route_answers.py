"""What a route's targets have answered lately, for the route's page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from accounts.models import UsageRecord

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from registry.models import Route

#: As many of a target's newest requests are looked at, so that a page takes no longer
#: where most of them came by another name.
MOST = 1000


@dataclass(frozen=True, slots=True)
class TargetAnswers:
    """How many of a target's newest requests came by a route, and the last of them."""

    name: str
    requests: int
    fallbacks: int
    last_at: datetime | None
    last_status: int | None


def answers_of(route: Route) -> list[TargetAnswers]:
    """Return what each target has answered; the one that answered last is first."""
    found = [
        _answers(target.model.name, route.name, _newest(target.model_id))
        for target in route.targets.select_related("model")
    ]
    return sorted(
        found,
        key=lambda each: each.last_at.timestamp() if each.last_at else 0.0,
        reverse=True,
    )


_Row = tuple[str, str, "datetime", int]


def _newest(model_id: int) -> Iterable[_Row]:
    rows = UsageRecord.objects.filter(model_id=model_id).order_by("-id")
    return rows.values_list("route", "fell_back_from", "time", "status")[:MOST]


def _answers(name: str, route: str, rows: Iterable[_Row]) -> TargetAnswers:
    of_route = [row for row in rows if row[0] == route]
    _, _, last_at, status = of_route[0] if of_route else ("", "", None, None)
    fallbacks = sum(bool(row[1]) for row in of_route)
    return TargetAnswers(name, len(of_route), fallbacks, last_at, status)
