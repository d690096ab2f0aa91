"""The page that creates keys from a table, and answers with their secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from accounts.forms import TableForm
from accounts.key_table import COLUMNS, TableError, keys_create, secrets_table

if TYPE_CHECKING:
    from accounts.models import ApiKey
    from llm_manager.lib.unfold_types import ModelAdmin


def import_view(admin: ModelAdmin[ApiKey], request: HttpRequest) -> HttpResponse:
    """Show the form (GET), or create the keys and send their secrets (POST)."""
    if not admin.has_add_permission(request):
        raise PermissionDenied
    is_sent = request.method == "POST"
    form = TableForm(
        request.POST if is_sent else None,
        request.FILES if is_sent else None,
        request=request,
    )
    faults: list[str] = []
    if form.is_valid():
        by = request.user if isinstance(request.user, User) else None
        try:
            created = keys_create(form.cleaned_data["text"], by=by)
        except TableError as error:
            faults = list(error.faults)
            form.reopen()
        else:
            return _download(admin, request, created)
    context: dict[str, Any] = {
        **admin.admin_site.each_context(request),
        "title": "Create from a table",
        "opts": admin.opts,
        "form": form,
        "faults": faults,
        "columns": COLUMNS[2:],
        "back": reverse("admin:accounts_apikey_changelist"),
    }
    return TemplateResponse(request, "admin/accounts/apikey/import.html", context)


def _download(
    admin: ModelAdmin[ApiKey], request: HttpRequest, created: list[tuple[ApiKey, str]]
) -> HttpResponse:
    for key, _ in created:
        admin.log_addition(request, key, "Created from a table.")
    return HttpResponse(
        secrets_table(created),
        content_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": 'attachment; filename="api-keys.csv"',
            "Cache-Control": "no-store",
        },
    )
