"""The filters of the lists of usage; each has its index."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any, ClassVar
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib import admin
from django.db.models import Max, Sum
from django.utils import timezone

from accounts.models import PointStep, UsageDay, UsageRecord
from accounts.usage.charts import CHART_SUBJECTS, most_used
from accounts.usage.summary import today

if TYPE_CHECKING:
    from datetime import date

    from django.db.models import QuerySet
    from django.http import HttpRequest

#: The choices of a filter: those that were used most in the last days.
_CHOICES = 50
_CHOICE_DAYS = 7
#: Those among which filters look for what to choose from.
_LAST = 1000
#: The lowest status of what is the server's fault.
FAILED = 500


class PeriodFilter(admin.SimpleListFilter):
    """Requests of the last hours or days, by the primary key."""

    title = "period"
    parameter_name = "period"
    _yesterday: ClassVar[str] = "yesterday"
    _periods: ClassVar[dict[str, tuple[str, timedelta]]] = {
        "1h": ("Last hour", timedelta(hours=1)),
        "24h": ("Last 24 hours", timedelta(days=1)),
        "7d": ("Last 7 days", timedelta(days=7)),
        "30d": ("Last 30 days", timedelta(days=30)),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the periods."""
        found = [(name, label) for name, (label, _) in self._periods.items()]
        return [*found[:2], (self._yesterday, "Yesterday"), *found[2:]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows of the period."""
        if self.value() == self._yesterday:
            return _of_day(queryset, today() - timedelta(days=1))
        period = self._periods.get(self.value() or "")
        if period is None:
            return queryset
        start = timezone.now() - period[1]
        if queryset.model is UsageDay:
            return queryset.filter(day__gt=today() - period[1])
        requests: Any = queryset
        since: QuerySet[Any] = requests.since(start)
        return since


class EndFilter(admin.SimpleListFilter):
    """Requests by how they ended."""

    title = "end"
    parameter_name = "end"
    _ends: ClassVar[dict[str, tuple[str, dict[str, Any]]]] = {
        "answered": ("Answered", {"failed": False}),
        # An index has only those that failed.
        "refused": ("Refused", {"failed": True, "status__range": (400, 498)}),
        "limited": ("Refused by a limit", {"failed": True, "status": 429}),
        "failed": ("Failed", {"failed": True, "status__gte": FAILED}),
        "cancelled": (
            "Cancelled",
            {"failed": True, "error_code": "request_cancelled"},
        ),
        "interrupted": ("Interrupted", {"failed": True, "completed": False}),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the ends."""
        return [(name, label) for name, (label, _) in self._ends.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the requests that ended so."""
        end = self._ends.get(self.value() or "")
        return queryset if end is None else queryset.filter(**end[1])


class ErrorFilter(admin.SimpleListFilter):
    """Requests that failed with one error, of those that occurred lately."""

    title = "error"
    parameter_name = "error"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the codes of the last failures; an index has only these."""
        failed = UsageRecord.objects.filter(failed=True).exclude(error_code="")
        last = failed.order_by("-pk").values_list("error_code", flat=True)
        codes = {*last[:_LAST], *filter(None, [self.value()])}
        return [(code, code) for code in sorted(codes)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the requests that failed so."""
        code = self.value()
        return queryset.filter(failed=True, error_code=code) if code else queryset


class _LatelyFilter(admin.SimpleListFilter):
    """Requests by a column, of the values that the last ones have."""

    column: ClassVar[str]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the values of the last requests."""
        last = UsageRecord.objects.order_by("-pk")[:_LAST]
        values = set(last.values_list(self.column, flat=True))
        found = values | {self.value() or ""}
        return [(value, value) for value in sorted(found) if value]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the requests that have the chosen one."""
        value = self.value()
        return queryset.filter(**{self.column: value}) if value else queryset


class EndpointFilter(_LatelyFilter):
    """Requests by endpoint."""

    title = parameter_name = column = "endpoint"


class NodeFilter(_LatelyFilter):
    """Requests by the node whose worker computed them."""

    title = parameter_name = column = "node"


class SubjectFilter(admin.SimpleListFilter):
    """Rows of one key, owner, team or model, of those that were used most lately."""

    column: ClassVar[str]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the ids and names."""
        if subject := CHART_SUBJECTS.get(str(self.title)):
            used = most_used(
                PointStep.DAY,
                subject,
                timezone.now() - timedelta(days=_CHOICE_DAYS),
                _CHOICES,
            )
            return [(str(id_), name) for id_, name in used.items() if id_]
        # Owners have no points: all sums of these days are added up.
        since = today() - timedelta(days=_CHOICE_DAYS)
        rows = (
            UsageDay.objects.filter(day__gte=since)
            .exclude(**{self.column: 0})
            .order_by()
            .values_list(self.column)
            .annotate(shown=Max(f"{self.title}_name"), used=Sum("requests"))
            .order_by("-used")[:_CHOICES]
        )
        return [(str(id_), name) for id_, name, _ in rows]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows of the chosen one."""
        chosen = self.value() or ""
        if not chosen.isdecimal() or len(chosen) > 18:
            return queryset
        return queryset.filter(**{self.column: int(chosen)})


def _by(name: str) -> type[SubjectFilter]:
    column = f"{name}_id"
    attributes = {"title": name, "parameter_name": column, "column": column}
    return type(f"{name.title()}Filter", (SubjectFilter,), attributes)


SUBJECT_FILTERS = tuple(map(_by, ("key", "owner", "team", "model")))


def _of_day(queryset: QuerySet[Any], day: date) -> QuerySet[Any]:
    """Return the rows of a day of the sums' zone."""
    if queryset.model is UsageDay:
        return queryset.filter(day=day)
    zone = ZoneInfo(settings.CONFIG.usage.time_zone)
    start, end = (
        datetime.combine(each, time(), zone) for each in (day, day + timedelta(days=1))
    )
    requests: Any = queryset
    found: QuerySet[Any] = requests.since(start).before(end)
    return found
