"""The admin of notices: read, and marked as read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseRedirect
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from accounts.models import Notice
from llm_manager.lib.badges import badge
from llm_manager.lib.unfold_types import ModelAdmin

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern
    from django.utils.safestring import SafeString


@admin.register(Notice)
class NoticeAdmin(ModelAdmin[Notice]):
    """Notices. The dashboard shows those that nobody has read."""

    list_display = ("text", "kind", "created_at", "state", "webhook")
    list_filter = ("kind", ("read_at", admin.EmptyFieldListFilter))
    list_per_page = 50
    search_fields = ("text",)
    search_help_text = "Text"
    actions = ("mark_as_read",)
    readonly_fields = ("text", "kind", "created_at", "read_at", "webhook", "error")
    fields = readonly_fields

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: the server writes them."""
        return False

    def get_urls(self) -> list[URLPattern]:
        """Return the URLs of Django's admin, and the dashboard's button."""
        read = require_POST(self.admin_site.admin_view(self.read_view))
        return [
            path("read/", read, name="accounts_notice_read"),
            *super().get_urls(),
        ]

    def read_view(self, request: HttpRequest) -> HttpResponse:
        """Mark one notice as read, and lead to the dashboard."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        pk = request.POST.get("notice", "")
        notices = self.get_queryset(request).filter(pk=pk if pk.isdecimal() else 0)
        self.mark_as_read(request, notices)
        return HttpResponseRedirect(reverse("admin:index"))

    @admin.action(description="Mark as read", permissions=["change"])
    def mark_as_read(self, request: HttpRequest, queryset: QuerySet[Notice]) -> None:
        """Mark the selected notices as read, for everyone."""
        count = queryset.filter(read_at=None).update(read_at=timezone.now())
        self.message_user(request, f"{count} marked as read.", messages.SUCCESS)

    @admin.display(description="state", ordering="read_at")
    def state(self, notice: Notice) -> SafeString:
        """Return whether somebody has read it."""
        return badge("read") if notice.read_at else badge("new", "warning")

    @admin.display(description="webhook")
    def webhook(self, notice: Notice) -> str:
        """Return whether it was sent to the webhook."""
        if notice.sent_at:
            return f"sent {notice.sent_at:%Y-%m-%d %H:%M} UTC"
        if notice.next_attempt_at:
            return f"waits, after {notice.attempts} attempts"
        return f"given up: {notice.error}" if notice.error else "none"
