"""The audit log in the admin: to read, search and export, never to edit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from auditlog.models import LogEntry
from django.contrib import admin
from django.utils.html import format_html, format_html_join

from accounts.admin.exported import ExportedAdmin
from accounts.audit.export import AuditEntry, as_object
from llm_manager.lib.written_rows import WrittenByServer

if TYPE_CHECKING:
    from django.utils.safestring import SafeString

admin.site.unregister(LogEntry)
_SHOWN = 3


@admin.register(LogEntry)
class AuditAdmin(WrittenByServer, ExportedAdmin[LogEntry]):
    """Every change, by whomever; nobody edits it here."""

    list_display = ("at", "who", "event", "row", "summary")
    list_filter = (
        "action",
        "timestamp",
        ("content_type", admin.RelatedOnlyFieldListFilter),
    )
    list_select_related = ("content_type",)
    list_per_page = 50
    ordering = ("-timestamp", "-id")
    search_fields = ("object_repr", "changes", "additional_data", "remote_addr")
    search_help_text = "Name of the row or of who changed it, values, address"
    show_full_result_count = False
    date_hierarchy = "timestamp"
    fieldsets = (
        (None, {"fields": (("at", "who"), ("event", "row"), "address", "changed")}),
    )
    readonly_fields = ("at", "who", "event", "row", "address", "changed")

    export_name = "audit"
    export_columns = tuple(AuditEntry.__annotations__)

    def export_object(self, row: LogEntry) -> AuditEntry:
        """Return an entry's values."""
        return as_object(row)

    # Columns ------------------------------------------------------------------

    @admin.display(description="time", ordering="timestamp")
    def at(self, entry: LogEntry) -> str:
        """Return when it was."""
        return f"{entry.timestamp:%Y-%m-%d %H:%M:%S} UTC"

    @admin.display(description="by")
    def who(self, entry: LogEntry) -> SafeString:
        """Return who made the change, and below it how."""
        found = as_object(entry)
        return format_html(
            '<span class="lm-two"><span>{}</span><small>{}</small></span>',
            found["by"],
            found["via"],
        )

    @admin.display(description="event", ordering="action")
    def event(self, entry: LogEntry) -> str:
        """Return what happened."""
        return as_object(entry)["event"]

    @admin.display(description="row", ordering="object_repr")
    def row(self, entry: LogEntry) -> SafeString:
        """Return the row, and below it its kind."""
        return format_html(
            '<span class="lm-two"><span>{}</span><small>{}</small></span>',
            entry.object_repr,
            entry.content_type.name,
        )

    @admin.display(description="changes")
    def summary(self, entry: LogEntry) -> str:
        """Return the names of the columns that changed."""
        names = sorted(entry.changes or {})
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return ", ".join(names[:_SHOWN]) + more or "-"

    @admin.display(description="address")
    def address(self, entry: LogEntry) -> str:
        """Return the client's address."""
        return entry.remote_addr or "-"

    @admin.display(description="changes")
    def changed(self, entry: LogEntry) -> SafeString | str:
        """Return the values before and after as a table."""
        found = as_object(entry)
        rows = [
            (name, *_before_and_after(change))
            for name, change in sorted(found["changes"].items())
        ]
        rows += [(name, "", value) for name, value in found["details"].items()]
        if not rows:
            return "-"
        lines = format_html_join(
            "", "<tr><th scope=row>{}</th><td>{}</td><td>{}</td></tr>", rows
        )
        return format_html(
            '<div class="lm-scroll"><table class="lm-table"><thead><tr><th scope="col">'
            'Column</th><th scope="col">Before</th><th scope="col">After</th></tr>'
            "</thead><tbody>{}</tbody></table></div>",
            lines,
        )


def _before_and_after(change: Any) -> tuple[str, str]:
    if isinstance(change, list) and len(change) == 2:
        return str(change[0]), str(change[1])
    if isinstance(change, dict) and change.get("type") == "m2m":
        names = ", ".join(map(str, change["objects"]))
        is_added = change["operation"] == "add"
        return ("", f"+ {names}") if is_added else (f"- {names}", "")
    return "", json.dumps(change, ensure_ascii=False)
