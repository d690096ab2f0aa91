"""The query of GET /v1/usage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from accounts.errors import ScopeMissing
from accounts.models import Scope
from accounts.usage.summary import DIMENSIONS, Dimension, UsagePeriod, day_from
from inference.api.body.request_body import Body
from inference.api.errors import BadRequest
from llm_manager.lib.quoting import quote

if TYPE_CHECKING:
    from datetime import date

    from accounts.models import ApiKey

#: What a key without the scope "admin" may group by: the rest is its own anyway.
_OWN_DIMENSIONS = ("day", "model")


class UsageParameters(Body):
    """The parameters of a query, as texts."""

    since: str = "30d"
    """First day: a date, or `7d` for seven days ago."""
    until: str = "0d"
    """Last day."""
    by: str = "day"
    """What to add up by, separated by commas: day, model, and with the scope `admin`
    key, owner, team."""
    key: str = ""
    """The prefix of a key."""
    owner: str = ""
    """The name of a user."""
    team: str = ""
    """The name of a team."""
    model: str = ""
    """The id of a model."""


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """Which sums are asked for."""

    period: UsagePeriod
    by: tuple[Dimension, ...]
    filters: dict[str, str]


def usage_query(
    parameters: UsageParameters, *, bounded_to: ApiKey | None
) -> UsageQuery:
    """Return the query, bounded to a key; None is an administrator, who sees all.

    Raises BadRequest and ScopeMissing.
    """
    period = UsagePeriod(_day(parameters, "since"), _day(parameters, "until"))
    if period.until < period.since:
        raise BadRequest("'until' is before 'since'.", param="until")
    names = [name.strip() for name in parameters.by.split(",") if name.strip()]
    by = tuple(known for known in DIMENSIONS if known in names)
    for name in names:
        if name not in DIMENSIONS:
            raise BadRequest(
                f"'by' cannot be '{quote(name)}'; choose from {', '.join(DIMENSIONS)}.",
                param="by",
            )
    asked: dict[str, str] = {name: getattr(parameters, name) for name in DIMENSIONS[1:]}
    filters = {name: text for name, text in asked.items() if text}
    if bounded_to is not None:
        others = {*by, *filters} - set(_OWN_DIMENSIONS)
        if (
            others - {"key"}
            or filters.get("key", bounded_to.prefix) != bounded_to.prefix
        ):
            raise ScopeMissing(Scope.ADMIN)
        filters["key"] = bounded_to.prefix
    return UsageQuery(period, by, filters)


def _day(parameters: UsageParameters, name: str) -> date:
    try:
        return day_from(getattr(parameters, name))
    except (ValueError, OverflowError) as error:
        raise BadRequest(f"Invalid value for '{name}': {error}", param=name) from None
