"""Usage in the admin: requests and days, to read, filter and export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Model, Sum
from django.utils.functional import cached_property
from django.utils.html import format_html

from accounts.admin.exported import ExportedAdmin
from accounts.admin.request.page import request_page
from accounts.admin.usage.filters import (
    FAILED,
    SUBJECT_FILTERS,
    EndFilter,
    EndpointFilter,
    ErrorFilter,
    NodeFilter,
    PeriodFilter,
)
from accounts.models import UsageDay, UsageRecord
from accounts.usage.export import COLUMNS, as_object
from llm_manager.lib.badges import badge
from llm_manager.lib.unfold_types import ModelAdmin
from llm_manager.lib.written_rows import WrittenByServer
from registry.prices import BILLION

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

    from llm_manager.lib.badges import Tone

#: How far a list can be leafed through: to count a hundred million rows takes minutes.
MAX_LISTED = 10_000


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Pages of the first ten thousand rows, which is what it counts at most."""

    @cached_property
    def count(self) -> int:
        """The number of rows that can be listed."""
        rows: Any = self.object_list
        number: int = rows[:MAX_LISTED].count()
        return number


class _UsageAdmin(WrittenByServer, ModelAdmin[Model]):
    """Rows that nobody edits."""

    list_per_page = 50
    paginator = BoundedPaginator
    show_full_result_count = False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Return the list, which says where it ends and what its days are."""
        zone = settings.CONFIG.usage.time_zone
        context = {"max_listed": MAX_LISTED, "usage_zone": zone}
        context |= extra_context or {}
        return super().changelist_view(request, context)

    @admin.display(description="key")
    def whose(self, row: UsageRecord | UsageDay) -> SafeString:
        """Return the key, and below it its owner and team."""
        who = " · ".join(filter(None, (row.owner_name, row.team_name)))
        return _two_lines(row.key_name or "no key", who)

    @admin.display(description="tokens")
    def tokens(self, row: UsageRecord | UsageDay) -> SafeString:
        """Return those of prompt and completion, and below them the cached ones."""
        return _two_lines(
            f"{row.prompt_tokens:,} + {row.completion_tokens:,}",
            f"{row.cached_tokens:,} cached",
        )

    @admin.display(description="cost")
    def price(self, row: UsageRecord | UsageDay) -> str:
        """Return the cost in the currency."""
        return f"{row.cost / BILLION:.4f}" if row.cost else "-"


@admin.register(UsageRecord)
class UsageRecordAdmin(ExportedAdmin[Model], _UsageAdmin):
    """Every request, the newest first."""

    list_display = ("at", "whose", "model_name", "end", "tokens", "times", "price")
    list_filter = (
        *(PeriodFilter, EndFilter, ErrorFilter),
        *SUBJECT_FILTERS,
        *(EndpointFilter, NodeFilter),
    )
    search_fields = ("request_id",)
    search_help_text = "x-request-id of an answer, whole"
    sortable_by = ()
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("request_id", "at"),
                    ("status", "error_code"),
                    ("limit_name", "finish_reason"),
                    ("completed", "is_stream"),
                )
            },
        ),
        (
            "Who and what",
            {
                "fields": (
                    ("key_name", "key_prefix"),
                    ("owner_name", "team_name"),
                    ("left_out", "metadata"),
                    ("endpoint", "client_address"),
                    ("model_asked", "model_name"),
                    ("route", "fell_back_from"),
                    ("node", "replica"),
                )
            },
        ),
        (
            "Tokens",
            {
                "fields": (
                    ("prompt_tokens", "cached_tokens", "audio_tokens"),
                    ("completion_tokens", "reasoning_tokens"),
                    ("drafted_tokens", "replayed_tokens"),
                    ("price", "is_estimated"),
                )
            },
        ),
        (
            "Times",
            {
                "fields": (
                    ("queue_ms", "first_token_ms"),
                    ("duration_ms", "tokens_per_second"),
                )
            },
        ),
    )
    readonly_fields = ("at", "price")
    export_name = "usage"
    export_columns = COLUMNS

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Return the page of a request, with its timeline and what is like it."""
        record = kwargs.get("obj")
        if record is not None:
            currency = settings.CONFIG.limits.currency
            context |= request_page(request, record)
            context["end_badge"] = _status(record)
            context["cost"] = f"{self.price(record)} {currency}"
        return super().render_change_form(request, context, *args, **kwargs)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Return the requests with this id: the index knows whole ones."""
        term = search_term.strip()
        return (queryset.filter(request_id=term) if term else queryset), False

    def export_object(self, row: Any) -> dict[str, Any]:
        """Return a request's values."""
        return as_object(row)

    @admin.display(description="time")
    def at(self, record: UsageRecord) -> str:
        """Return when the request came."""
        return f"{record.time:%Y-%m-%d %H:%M:%S} UTC"

    @admin.display(description="end")
    def end(self, record: UsageRecord) -> SafeString:
        """Return the status as a label, and below it what it was for."""
        why = record.limit_name or record.error_code or record.finish_reason
        return format_html(
            '<span class="lm-two"><span>{}</span><small>{}</small></span>',
            _status(record),
            " · ".join(filter(None, (record.endpoint, why))),
        )

    @admin.display(description="time taken")
    def times(self, record: UsageRecord) -> SafeString | str:
        """Return the duration, and below it the first token and the rate."""
        if record.duration_ms is None:
            return "-"
        first, rate = record.first_token_ms, record.tokens_per_second
        details = (
            "" if first is None else f"first {first / 1000:.2f} s",
            "" if rate is None else f"{rate:.0f}/s",
        )
        return _two_lines(
            f"{record.duration_ms / 1000:.2f} s", " · ".join(filter(None, details))
        )


@admin.register(UsageDay)
class UsageDayAdmin(_UsageAdmin):
    """The sums of days, by key and model."""

    list_display = (
        *("day", "whose", "model_name", "requests", "failed", "tokens", "price"),
    )
    list_filter = (PeriodFilter, *SUBJECT_FILTERS)
    sortable_by = ()
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("day", "model_name"),
                    ("key_name", "key_prefix"),
                    ("owner_name", "team_name"),
                    ("requests", "failed"),
                    ("prompt_tokens", "cached_tokens", "audio_tokens"),
                    ("completion_tokens", "reasoning_tokens", "drafted_tokens"),
                    ("price",),
                )
            },
        ),
    )
    readonly_fields = ("price",)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Return the list, with the sums of a period that is chosen."""
        response: Any = super().changelist_view(request, extra_context)
        listed = (getattr(response, "context_data", None) or {}).get("cl")
        if listed is not None and PeriodFilter.parameter_name in listed.params:
            chosen = listed.queryset.order_by().aggregate(**_SUMS)
            response.context_data["sums"] = self._sums(chosen)
        answer: HttpResponse = response
        return answer

    def _sums(self, chosen: dict[str, int | None]) -> list[tuple[str, str]]:
        sums = {name: number or 0 for name, number in chosen.items()}
        cost = self.price(UsageDay(cost=sums.pop("cost")))
        named = [
            (name.replace("_", " "), f"{number:,}") for name, number in sums.items()
        ]
        return [*named, (f"cost in {settings.CONFIG.limits.currency}", cost)]


_SUMS = {
    name: Sum(name)
    for name in (
        *("requests", "failed", "cost"),
        *("prompt_tokens", "cached_tokens", "completion_tokens"),
    )
}


def _status(record: UsageRecord) -> SafeString:
    is_ours = record.status >= FAILED
    tone: Tone = "danger" if is_ours else "warning" if record.failed else "success"
    return badge(str(record.status), tone)


def _two_lines(first: str, second: str) -> SafeString:
    return format_html(
        '<span class="lm-two"><span>{}</span><small>{}</small></span>', first, second
    )
