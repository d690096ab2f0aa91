"""What a colleague may view who was invited to see the admin, and to change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import Permission
from django.db.models import Q

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.db.models import QuerySet

#: What has pages, but nothing that says what prompts and answers are, and no second
#: factors.
VIEWED = (
    *("registry.model", "registry.alias", "registry.attachment"),
    *("registry.download", "registry.scanrun"),
    *("registry.upstream", "registry.upstreammodel", "registry.route"),
    *("inference.worker", "inference.enginenode", "inference.runningrequest"),
    *("accounts.apikey", "accounts.team", "accounts.limit", "accounts.notice"),
    *("accounts.invitation", "accounts.usagerecord", "accounts.usageday"),
    "accounts.batch",
    *("auth.user", "auth.group", "auditlog.logentry"),
)


def view_permissions() -> QuerySet[Permission]:
    """Return the permissions to view all of these."""
    chosen = Q()
    for name in VIEWED:
        app, model = name.split(".")
        chosen |= Q(content_type__app_label=app, codename=f"view_{model}")
    return Permission.objects.filter(chosen)


def give_view_rights(user: User) -> None:
    """Let a user into the admin, to view it."""
    user.is_staff = True
    user.save(update_fields=["is_staff"])
    user.user_permissions.add(*view_permissions())
