"""The admin of notices: read, and marked as read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin, messages
from django.utils import timezone

from accounts.models import Notice
from llm_manager.lib.badges import badge
from llm_manager.lib.unfold_types import ModelAdmin

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
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
