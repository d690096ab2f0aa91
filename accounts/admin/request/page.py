"""What the page of a request shows beside its columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.urls import reverse

from accounts.admin.request.advice import advice
from accounts.admin.request.timeline import HEIGHT, WIDTH, timeline
from accounts.audit.log import note_read
from accounts.models import ApiKey, CapturedBody, Team
from llm_manager.lib.units import human_span
from registry.models import Model

if TYPE_CHECKING:
    from django.db.models import Model as Row
    from django.http import HttpRequest

    from accounts.models import UsageRecord


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose or what a request is: its name then, and its page if it is still there.

    ``similar`` is the address of the requests that have it, too.
    """

    label: str
    name: str
    url: str
    similar: str


def request_page(request: HttpRequest, record: UsageRecord) -> dict[str, Any]:
    """Return the context of the page, in at most five queries.

    One more logs that captured bodies are read.
    """
    captured = None
    if request.user.has_perm("accounts.view_capturedbody"):
        captured = CapturedBody.objects.kept().filter(pk=record.pk).first()
        if captured is not None:
            note_read(record.request_id, str(record.pk))
    duration = record.duration_ms
    return {
        "record": record,
        "captured": captured,
        "phases": timeline(record),
        "bar": {"width": WIDTH, "height": HEIGHT},
        "total": None if duration is None else human_span(duration / 1000),
        "advice": advice(record),
        "subjects": list(_subjects(request, record)),
        "same_error": _similar(error=record.error_code) if record.error_code else "",
    }


def _subjects(request: HttpRequest, record: UsageRecord) -> list[Subject]:
    rows: tuple[tuple[str, str, int, type[Row]], ...] = (
        ("key", record.key_name, record.key_id, ApiKey),
        ("owner", record.owner_name, record.owner_id, User),
        ("team", record.team_name, record.team_id, Team),
        ("model", record.model_name, record.model_id, Model),
    )
    return [
        Subject(
            label,
            name,
            _page_of(request, kind, id_),
            _similar(**{f"{label}_id": str(id_)}),
        )
        for label, name, id_, kind in rows
        if id_
    ]


def _page_of(request: HttpRequest, kind: type[Row], id_: int) -> str:
    """Return the address of a row's page; "" if it is gone, or not to be seen."""
    meta = kind._meta
    may = any(
        request.user.has_perm(f"{meta.app_label}.{verb}_{meta.model_name}")
        for verb in ("view", "change")
    )
    if not may or not kind._default_manager.filter(pk=id_).exists():
        return ""
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[id_])


def _similar(**filters: str) -> str:
    return f"{reverse('admin:accounts_usagerecord_changelist')}?{urlencode(filters)}"
