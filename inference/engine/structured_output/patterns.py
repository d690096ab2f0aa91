"""Translates the regular expressions of JSON schemas for llguidance's engine.

Schemas use ECMA-262's syntax. The engine is Rust's, where ``[``, ``&&``, ``--`` and
``~~`` have a meaning in character classes, and where empty classes are errors. The
engine itself refuses what it does not support: look-around and back references.
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
    """Return the pattern with the same meaning in Rust's syntax."""
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
