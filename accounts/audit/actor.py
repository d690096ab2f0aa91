"""Who makes a change, and how: for the audit log."""

from __future__ import annotations

import getpass
import sys
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.contrib.auth.models import User


@dataclass(frozen=True, slots=True)
class Actor:
    """``by`` is a name that outlives the user's row, ``via`` the door it came by.

    ``address`` is the client's, as far as believed.
    """

    by: str
    via: str
    user: User | None = None
    address: str = ""


_source: ContextVar[Callable[[], Actor] | None] = ContextVar("actor", default=None)


@contextmanager
def acting(source: Callable[[], Actor]) -> Iterator[None]:
    """Enclose what is done for an actor, who is asked for only when it is logged."""
    token = _source.set(source)
    try:
        yield
    finally:
        _source.reset(token)


def current_actor() -> Actor:
    """Return who acts: of the request, or who started this process."""
    source = _source.get()
    return _process() if source is None else source()


def _process() -> Actor:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        # No name belongs to the user's number, as in some containers.
        name = "unknown"
    # Not the arguments: they may have secrets.
    command = next((each for each in sys.argv[1:] if not each.startswith("-")), "")
    return Actor(by=name, via=f"{Path(sys.argv[0]).name} {command}".strip()[:100])
