"""What needs an administrator: what may be seen, with the actions that are allowed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from django.urls import reverse
from django.utils import timezone

from accounts.limits.use_now import budgets_near_end
from accounts.models import ApiKey, Notice, NoticeKind
from inference.admin.attention import (
    Attention,
    AttentionAction,
    AttentionLink,
    attention_of,
)
from inference.evictions import evictions_since
from inference.health.findings import failed_loads, health_findings
from llm_manager.lib.units import human_age

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inference.health.facts import HealthFacts
    from inference.status import Overview
    from registry.models import ScanRun

_ORDER = ("danger", "warning", "info")
#: Things of one kind that are listed one by one.
_MANY = 5
_EXPIRES_SOON = timedelta(days=7)
_RECENTLY = timedelta(days=1)
_USED_UP = 100


def by_urgency(items: list[Attention]) -> list[Attention]:
    """Return them with the most urgent first, otherwise as they come."""
    return sorted(items, key=lambda item: _ORDER.index(item.tone))


def what_is_wrong(facts: HealthFacts, user: Any) -> Iterator[Attention]:
    """Yield what is wrong with parts of the system, failed loads among them."""
    for finding in health_findings(facts):
        yield attention_of(finding, user)


def failed_models(seen: Overview, user: Any) -> Iterator[Attention]:
    """Yield the models that could not be loaded, for who may not see all of health."""
    for finding in failed_loads(seen):
        yield attention_of(finding, user)


def unreadable_files(last_scan: ScanRun | None, user: Any) -> Iterator[Attention]:
    """Yield the files that the last scan could not read, or did not find again."""
    if last_scan is None or not (last_scan.unreadable or last_scan.missing):
        return
    report = reverse("admin:registry_scanrun_change", args=[last_scan.pk])
    scan = None
    if user.has_perm("registry.change_model"):
        url = reverse("admin:registry_model_scan")
        scan = AttentionAction("Scan again", url, "again", last_scan.pk)
    for outcome, number, what, advice in (
        (
            "unreadable",
            last_scan.unreadable,
            "unreadable",
            "They are no whole GGUF files, or the server may not read them: copy them "
            "again, or correct their rights.",
        ),
        (
            "missing",
            last_scan.missing,
            "gone",
            "Their models are not served. Put the files back, or delete the models.",
        ),
    ):
        if number:
            entries = [e for e in last_scan.entries if e["outcome"] == outcome]
            lines = [
                ": ".join(filter(None, (_name_of(entry), entry.get("reason"))))
                for entry in entries[:_MANY]
            ]
            if number > len(lines):
                lines.append(f"and {number - len(lines)} more")
            yield Attention(
                "warning",
                f"{number} file{' is' if number == 1 else 's are'} {what}",
                "\n".join(lines),
                advice,
                (AttentionLink("Report", f"{report}#{outcome}"),),
                scan,
            )


def _name_of(entry: dict[str, Any]) -> str:
    # A file that cannot be read has no name of a model.
    return str(entry.get("name") or PurePath(entry["path"]).name)


def expiring_keys(user: Any) -> Iterator[Attention]:
    """Yield the keys that expire within seven days. One query."""
    now = timezone.now()
    soon = ApiKey.objects.usable().filter(expires_at__lte=now + _EXPIRES_SOON)
    keys = list(soon.select_related("owner").order_by("expires_at", "pk")[: _MANY + 1])
    may_rotate = user.has_perm("accounts.change_apikey")
    for key in keys[:_MANY]:
        page = reverse("admin:accounts_apikey_change", args=[key.pk])
        links = [AttentionLink("Key", page)]
        if may_rotate:
            rotate = reverse("admin:accounts_apikey_rotate", args=[key.pk])
            links.append(AttentionLink("Rotate…", rotate))
        yield Attention(
            "warning",
            f"The API key '{key.name}' of {key.owner} expires soon",
            f"On {key.expires_at:%Y-%m-%d at %H:%M} UTC its requests are refused.",
            "Rotate it: a new key takes its place, and both work for a while.",
            tuple(links),
        )
    if len(keys) > _MANY:
        page = reverse("admin:accounts_apikey_changelist")
        yield Attention(
            "warning",
            "More keys expire within 7 days",
            links=(AttentionLink("All of them", f"{page}?expires=7"),),
        )


def budgets(user: Any) -> Iterator[Attention]:
    """Yield the budgets of which 80 % or more are used. Two queries."""
    page = reverse("admin:accounts_limit_changelist")
    for use in budgets_near_end()[:_MANY]:
        is_over = use.percent >= _USED_UP
        yield Attention(
            "danger" if is_over else "warning",
            f"{use.percent} % of a budget are used: {use.name}",
            f"It is of {use.holder}; {use.text}, {use.resets}.",
            "Its requests are refused until then. Raise it, or wait."
            if is_over
            else "Raise it in time, or let its requests be refused when it is used up.",
            (AttentionLink("Limits", page),),
        )


def unread_notices(user: Any) -> Iterator[Attention]:
    """Yield the notices that nobody has read. One query.

    Those of budgets are left out of who sees how much is used now.
    """
    unread = Notice.objects.filter(read_at=None)
    if user.has_perm("accounts.view_limit"):
        unread = unread.exclude(kind=NoticeKind.BUDGET)
    page = reverse("admin:accounts_notice_changelist")
    may_read = user.has_perm("accounts.change_notice")
    for notice in unread[:_MANY]:
        read = AttentionAction(
            "Mark as read", reverse("admin:accounts_notice_read"), "notice", notice.pk
        )
        yield Attention(
            "warning",
            notice.text,
            links=(AttentionLink("Notices", f"{page}?read_at__isempty=1"),),
            action=read if may_read else None,
        )


def recent_evictions(user: Any) -> Iterator[Attention]:
    """Yield which models had to make room for which within a day. One query."""
    now = timezone.now()
    page = reverse("admin:inference_worker_changelist")
    for pair in evictions_since(now - _RECENTLY, most=_MANY):
        times = "once" if pair.times == 1 else f"{pair.times} times"
        yield Attention(
            "info",
            f"{pair.model_name} was unloaded {times} to make room for {pair.for_name}",
            f"Last {human_age(pair.last_at, now)}.",
            "If both are needed: let models take more memory (engine.memory_mb, "
            "engine.max_models), lower their contexts, or pin the one that must stay.",
            (AttentionLink("Engine", page),),
        )
