"""When a key ends: the moment that people and programs write."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

#: When a day without a time ends.
END_OF_DAY = time(23, 59, tzinfo=UTC)


def end_of(day: date) -> datetime:
    """Return the last minute of a day, in UTC."""
    return datetime.combine(day, END_OF_DAY)


def expiry_parse(text: str) -> datetime:
    """Return the moment of a text as 2027-01-31T18:00Z, or the end of 2027-01-31.

    A time without an offset is in UTC. Raises ValueError for another text, and for a
    moment in the past, with a sentence about it.
    """
    try:
        moment = _parsed(text)
    except (ValueError, OverflowError):
        raise ValueError("write it as 2027-01-31 or 2027-01-31T18:00:00Z.") from None
    if moment <= datetime.now(UTC):
        raise ValueError("it is in the past.")
    return moment


def _parsed(text: str) -> datetime:
    if len(text) <= len("2027-01-31"):
        return end_of(date.fromisoformat(text))
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC)
