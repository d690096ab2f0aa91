"""A list of the admin that can be saved as CSV, or as JSON lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, StreamingHttpResponse
from django.urls import path

from llm_manager.lib.tables.row_export import as_csv, as_json_lines
from llm_manager.lib.unfold_types import ModelAdmin

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from django.db.models import Model
    from django.http.response import HttpResponseBase
    from django.urls import URLPattern

_Row = TypeVar("_Row", bound="Model")


class ExportedAdmin(ModelAdmin[_Row]):
    """Adds the page ``export.csv`` or ``export.jsonl`` of the rows that are chosen."""

    export_name: ClassVar[str]
    export_columns: ClassVar[Iterable[str]]

    def export_object(self, row: _Row) -> Mapping[str, Any]:
        """Return a row's values, in the order of ``export_columns``."""
        raise NotImplementedError

    def get_urls(self) -> list[URLPattern]:
        """Return the URLs of Django's admin and the export."""
        name = f"{self.opts.app_label}_{self.opts.model_name}_export"
        view = self.admin_site.admin_view(self.export_view)
        return [path("export.<str:form>", view, name=name), *super().get_urls()]

    def export_view(self, request: HttpRequest, form: str) -> HttpResponseBase:
        """Return all rows that the list's search and filters choose, in parts."""
        if not self.has_view_permission(request) or form not in {"csv", "jsonl"}:
            raise PermissionDenied
        rows = self.get_changelist_instance(request).get_queryset(request)
        related = self.list_select_related
        if not isinstance(related, bool):
            rows = rows.select_related(*related)
        if form == "csv":
            content = as_csv(rows, self.export_columns, self.export_object)
            content_type = "text/csv; charset=utf-8"
        else:
            content = as_json_lines(rows, self.export_object)
            content_type = "application/x-ndjson"
        name = f"{self.export_name}.{form}"
        return StreamingHttpResponse(
            content,
            content_type=content_type,
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )
