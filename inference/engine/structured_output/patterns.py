"""Regular expressions of JSON schemas, spelt as llguidance's engine reads them.

Schemas have those of ECMA-262. The engine is Rust's, in whose classes of
characters ``[``, ``&&``, ``--`` and ``~~`` mean something, and which knows no empty
class. What Rust has not at all (look-around, back references) it refuses itself.
"""

from __future__ import annotations

import re

_PARTS = re.compile(
    r"""
      \\.
    | (?P<nothing>\[\])
    | (?P<anything>\[\^\])
    | (?P<class>\[(?:\\.|[^\]\\])*\])
    """,
    re.VERBOSE | re.DOTALL,
)
_CLASS_PARTS = re.compile(r"\\.|(?P<special>(?<=-)-|[\[&~])", re.DOTALL)


def rust_pattern(pattern: str) -> str:
    """Return the pattern with the same meaning for Rust's engine."""
    return _PARTS.sub(_part, pattern)


def _part(found: re.Match[str]) -> str:
    match found.lastgroup:
        case "nothing":
            return r"[^\s\S]"
        case "anything":
            return r"[\s\S]"
        case "class":
            return f"[{_CLASS_PARTS.sub(_class_part, found[0][1:-1])}]"
        case _:
            return found[0]


def _class_part(found: re.Match[str]) -> str:
    return f"\\{found[0]}" if found["special"] else found[0]
