"""The answer of GET /v1/usage."""

from typing import Literal, TypedDict

from accounts.usage.summary import UsageCounts, UsageGroup


class UsageList(TypedDict):
    """Sums of days, from `since` to `until`, in groups; `total` is of all of them."""

    object: Literal["usage"]
    since: str
    until: str
    time_zone: str
    currency: str
    by: list[str]
    data: list[UsageGroup]
    total: UsageCounts
