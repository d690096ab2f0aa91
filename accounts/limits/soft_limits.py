"""Says once when four fifths of a budget are spent."""

from __future__ import annotations

import contextlib
import logging
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, connection

from accounts.limits.limit_texts import amount_text, limit_text
from accounts.models import NoticeKind
from accounts.notices.creation import notice_create

if TYPE_CHECKING:
    from accounts.limits.counting.store import Counter

logger = logging.getLogger(__name__)

#: The percentage of a budget that is a reason for a notice.
SOFT_PERCENT = 80
_MAX_NOTED = 10_000

#: One thread: the writes are few, and no request waits for them.
_writer: Executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="notices")
#: What this process has written, so that it does not ask the database again.
_noted: set[str] = set()


def note_spending(counter: Counter, spent: int) -> None:
    """Write a notice in the background if a budget is nearly spent. Never waits."""
    if spent * 100 < counter.rule.amount * SOFT_PERCENT or counter.key in _noted:
        return
    if len(_noted) >= _MAX_NOTED:
        _noted.clear()
    _noted.add(counter.key)
    # The executor refuses work while the interpreter shuts down.
    with contextlib.suppress(RuntimeError):
        _writer.submit(_write, counter, spent)


def _write(counter: Counter, spent: int) -> None:
    try:
        write_notice(counter, spent)
    except DatabaseError as error:
        # The next request of this budget tries again.
        _noted.discard(counter.key)
        logger.warning("A notice of a budget was not written: %s", error)
    finally:
        connection.close()


def write_notice(counter: Counter, spent: int) -> bool:
    """Write the notice of a budget that is nearly spent; return whether it was new.

    Raises DatabaseError.
    """
    rule, period = counter.rule, counter.period
    if period is None:
        raise ValueError("Only a budget has a notice.")
    percent = spent * 100 // rule.amount
    details: dict[str, Any] = {
        "kind": rule.kind.value,
        "holder": rule.holder,
        "model": rule.model or None,
        "limit": rule.amount,
        "used": spent,
        "resets_at": period.end.isoformat(),
    }
    return notice_create(
        slot=f"{rule.slot}/{period.start:%Y-%m-%d}/{rule.amount}",
        kind=NoticeKind.BUDGET,
        text=f"{percent} % of a budget are used: {amount_text(rule, spent)} of "
        f"{limit_text(rule)}, for {rule.holder}. It resets at "
        f"{period.end:%Y-%m-%d %H:%M %Z}.",
        details=details,
    )
