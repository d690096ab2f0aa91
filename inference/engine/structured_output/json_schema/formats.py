"""The string formats of JSON schemas that can be enforced, as patterns.

Dates and times are our own: llguidance's allow a 29th of February in every year, and
leap seconds at any time. Ours follow RFC 3339, from year 1 on, in capitals. The rest
are llguidance's.
"""

from __future__ import annotations

_LEAP_YEAR = (
    r"(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])"
    r"|(?:0[48]|[2468][048]|[13579][26])00)"
)
_YEAR = r"(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
_DATE = (
    rf"(?:{_YEAR}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])"
    r"|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
    rf"|{_LEAP_YEAR}-02-29)"
)
_HOURS_AND_MINUTES = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_TIME = (
    rf"{_HOURS_AND_MINUTES}:[0-5][0-9](?:\.[0-9]{{1,9}})?"
    rf"(?:Z|[+-]{_HOURS_AND_MINUTES})"
)

#: Formats as patterns.
FORMAT_PATTERNS = {
    "date": f"^{_DATE}$",
    "date-time": f"^{_DATE}T{_TIME}$",
    "time": f"^{_TIME}$",
}
FORMATS = {
    *FORMAT_PATTERNS,
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uri",
    "uuid",
}
