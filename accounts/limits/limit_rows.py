"""The rows of limits that hold for a key, cached for one second."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import Group
from django.db.models.signals import post_delete, post_save

from accounts.limits.counting.rules import rules_for
from accounts.limits.default_limit import default_limit
from accounts.models import Limit, Team
from llm_manager.lib.row_cache import RowCache

if TYPE_CHECKING:
    from accounts.limits.counting.rules import Rule
    from accounts.models import ApiKey
    from accounts.session_access import SessionAccess
    from registry.models import Model


def _read(name: str) -> tuple[Limit, ...]:
    lineage, owner, team = name.split("/")
    holding = Limit.objects.holding_for(
        lineage=lineage, owner=int(owner), team=int(team) or None
    )
    return tuple(holding)


#: The limits of "lineage/owner/team", by primary keys; a team of 0 is none. One query.
limit_rows = RowCache(_read, size=1024)


def rules_of(key: ApiKey | SessionAccess, model: Model | None) -> list[Rule]:
    """Return the limits that hold for a key, or a session, that asks for a model."""
    rows = limit_rows(_name(key))
    return rules_for(key, model, rows, default_limit())


def are_rules_at_hand(key: ApiKey | SessionAccess) -> bool:
    """Return whether ``rules_of`` a key would read nothing now."""
    return limit_rows.at_hand(_name(key)) is not None


def _name(key: ApiKey | SessionAccess) -> str:
    return f"{key.lineage}/{key.owner_id}/{key.team_id or 0}"


def connect_signals() -> None:
    """Clear the cache when this process changes a limit, or a name in its texts."""
    for changed in (Limit, Team, Group):
        for signal in (post_save, post_delete):
            signal.connect(limit_rows.clear, sender=changed)
