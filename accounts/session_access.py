"""What a person who is signed in may use of the API, without a key. Plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from django.contrib.auth.models import User

#: No prefix of a key begins so.
_START = "session:"


@dataclass(frozen=True, slots=True)
class SessionAccess:
    """Stands where a request of the API has its key: limits, models and usage ask it.

    ``model_ids`` are the primary keys of the models, None is all of them.
    """

    owner: User
    model_ids: frozenset[int] | None

    #: As of a key that belongs to no team and has nothing of its own.
    team: ClassVar[None] = None
    team_id: ClassVar[None] = None
    rate_limit: ClassVar[None] = None
    weight: ClassVar[float] = 1.0

    @property
    def owner_id(self) -> int:
        """The primary key of the person."""
        return self.owner.pk

    @property
    def prefix(self) -> str:
        """What requests of this person are known by: all of their sessions are one."""
        return f"{_START}{self.owner.pk}"

    @property
    def lineage(self) -> str:
        """What limits count by."""
        return self.prefix


def session_owner_id(prefix: str) -> int | None:
    """Return the primary key of the person that a ``prefix`` is of, or None."""
    text = prefix.removeprefix(_START)
    return int(text) if text != prefix and text.isdecimal() else None
