"""The audit log: which rows it watches, and events that change no row.

Django-auditlog writes an entry with the values before and after whenever a watched row
is saved or deleted. Updates of a queryset send no signals: they are not for these rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from auditlog.models import LogEntry
from auditlog.registry import auditlog
from django.contrib.auth.models import Group, User
from django.db.models.signals import pre_save

from accounts.audit.actor import current_actor
from accounts.models import ApiKey, Invitation, Limit, Team, UsageRecord
from registry.forms import ModelSettingsForm
from registry.models import (
    Alias,
    Attachment,
    Download,
    Model,
    Route,
    RouteTarget,
    Upstream,
    UpstreamModel,
)

if TYPE_CHECKING:
    from django.db.models import Model as Row

#: What people set of models without a file; the rest is a scan's.
_UPSTREAM_MODEL = (
    *("name", "is_enabled", "upstream", "remote_name", "apis", "refused_parameters"),
    *("context_length", "input_price", "cached_price", "output_price"),
)
_ROUTE = (
    *("name", "is_enabled", "falls_back", "default_parameters", "forced_parameters"),
)
#: In the place of a secret. That it changed is in the log.
HIDDEN = "•••"


def hidden(value: str) -> str:
    """Return what stands for a secret."""
    return HIDDEN if value else ""


def watch_rows() -> None:
    """Have every change of these rows logged, and every entry say who made it."""
    auditlog.register(
        ApiKey,
        exclude_fields=["key_hash", "last_used_at"],
        m2m_fields={"allowed_models"},
    )
    auditlog.register(Team, m2m_fields={"allowed_models"})
    auditlog.register(
        User,
        exclude_fields=["last_login"],
        mask_fields=["password"],
        mask_callable="accounts.audit.log.hidden",
        m2m_fields={"groups", "user_permissions"},
    )
    auditlog.register(Limit)
    auditlog.register(Group, m2m_fields={"permissions"})
    # The other columns are a scan's.
    auditlog.register(Model, include_fields=list(ModelSettingsForm.Meta.fields))
    auditlog.register(Invitation, exclude_fields=["token_hash"], m2m_fields={"teams"})
    auditlog.register(Authenticator, exclude_fields=["data", "last_used_at"])
    auditlog.register(SocialAccount, exclude_fields=["extra_data", "last_login"])
    auditlog.register(Alias)
    auditlog.register(
        Upstream,
        exclude_fields=["checked_at", "fault"],
        mask_fields=["sealed_key"],
        mask_callable="accounts.audit.log.hidden",
    )
    auditlog.register(UpstreamModel, include_fields=list(_UPSTREAM_MODEL))
    auditlog.register(Route, include_fields=list(_ROUTE))
    auditlog.register(RouteTarget)
    auditlog.register(Attachment)
    # The rest is how far it is.
    auditlog.register(
        Download,
        include_fields=["source", "state", "is_cancelled", "error", "became"],
    )
    pre_save.connect(_sign, sender=LogEntry, dispatch_uid="audit")


def note(row: Row, event: str, **details: Any) -> None:
    """Log an event of a row that changes none of its columns."""
    LogEntry.objects.log_create(
        row,
        force_log=True,
        action=LogEntry.Action.ACCESS,
        changes={},
        additional_data={"event": event, **details},
    )


def note_read(request_id: str, record_id: str) -> None:
    """Log that somebody has read the captured bodies of a request."""
    note(UsageRecord(pk=record_id, request_id=request_id), "captured bodies read")


def note_cancelled(request_id: str) -> None:
    """Log that a request was cancelled, whose row of usage has this id."""
    note(UsageRecord(pk=request_id, request_id=request_id), "cancelled")


def _sign(sender: Any, instance: LogEntry, **signal: Any) -> None:
    """Write into an entry who made the change."""
    if not instance._state.adding:
        return
    actor = current_actor()
    instance.actor = actor.user
    instance.remote_addr = actor.address or None
    instance.additional_data = {
        **(instance.additional_data or {}),
        "by": actor.by,
        "via": actor.via,
    }
