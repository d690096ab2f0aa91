r"""Translates regular expressions for llguidance's engine, which is Rust's.

JSON schemas use ECMA-262's syntax. In Rust's, ``[``, ``&&``, ``--`` and ``~~`` have a
meaning in character classes, empty classes are errors, and ``\<`` and ``\>`` are
boundaries of words.

Look-around and back references are refused.

In both syntaxes ``\d``, ``\w`` and ``\s`` are ASCII here: ECMA-262 defines the first
two so, and every client expects it of all three. Rust's would take the digits of
every script.
"""

from __future__ import annotations

import re

_PARTS = re.compile(
    r"""
      (?P<reference>\\(?:[1-9]|k<))
    | (?P<boundary>\\[bB])
    | (?P<around>\(\?<?[=!])
    | (?P<escape>\\.)
    | (?P<nothing>\[\])
    | (?P<anything>\[\^\])
    | (?P<class>\[(?:\\.|[^\]\\])*\])
    """,
    re.VERBOSE | re.DOTALL,
)
_CLASS_PARTS = re.compile(r"(?P<escape>\\.)|(?P<special>(?<=-)-|[\[&~])", re.DOTALL)
_ESCAPES = re.compile(r"\\.", re.DOTALL)
# A blank is spelt by its number: it is ignored where ``(?x)`` holds.
_SPACE = r"\t\n\x0b\x0c\r\x20"
#: Each is a class, which may also stand within a class.
_ASCII = {
    r"\d": "[0-9]",
    r"\D": "[^0-9]",
    r"\w": "[0-9A-Za-z_]",
    r"\W": "[^0-9A-Za-z_]",
    r"\s": f"[{_SPACE}]",
    r"\S": f"[^{_SPACE}]",
}
_ECMA = {**_ASCII, r"\<": "<", r"\>": ">", r"\0": r"\x00"}


def ascii_classes(pattern: str) -> str:
    """Return a pattern in Rust's syntax with its classes of characters as ASCII."""
    return _ESCAPES.sub(lambda found: _ASCII.get(found[0], found[0]), pattern)


class UnsupportedPattern(Exception):
    """A pattern that no automaton without a memory recognizes."""


_UNSUPPORTED = {
    "reference": "backreferences cannot be enforced",
    "boundary": "look-around cannot be enforced, such as the boundary of a word",
    "around": "look-around cannot be enforced",
}


def rust_pattern(pattern: str) -> str:
    """Return a pattern in ECMA-262's syntax with the same meaning in Rust's.

    Raises UnsupportedPattern.
    """
    return _PARTS.sub(_part, pattern)


def _part(found: re.Match[str]) -> str:
    match found.lastgroup:
        case "reference" | "boundary" | "around" as kind:
            raise UnsupportedPattern(_UNSUPPORTED[kind])
        case "nothing":
            return r"[^\s\S]"
        case "anything":
            return r"[\s\S]"
        case "class":
            return f"[{_CLASS_PARTS.sub(_class_part, found[0][1:-1])}]"
        case _:
            return _ECMA.get(found[0], found[0])


def _class_part(found: re.Match[str]) -> str:
    if found["special"]:
        return f"\\{found[0]}"
    return _ECMA.get(found[0], found[0])
