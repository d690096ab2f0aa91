"""/v1/admin/audit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from auditlog.models import LogEntry

from inference.api.administration import descriptions as about
from inference.api.administration.bodies import AuditQuery
from inference.api.administration.objects import audit_object
from inference.api.administration.view import AdminView, answering, page, query_of
from inference.api.errors import BadRequest

if TYPE_CHECKING:
    from rest_framework.request import Request


def _list(request: Request) -> Any:
    query = query_of(request, AuditQuery)
    entries = LogEntry.objects.select_related("content_type").order_by("-pk")
    if query.kind:
        entries = entries.filter(content_type__model=query.kind)
    if query.by:
        entries = entries.filter(additional_data__by=query.by)
    if query.object:
        entries = entries.filter(object_repr__icontains=query.object)
    if query.after:
        if not query.after.isdecimal():
            raise BadRequest("'after' is no id of an entry.", param="after")
        entries = entries.filter(pk__lt=int(query.after))
    return page(query, entries, audit_object)


class AuditView(AdminView):
    """The audit log."""

    on = {"GET": _list}
    get = answering(about.list_audit)
