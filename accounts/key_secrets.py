"""API key secrets: making, splitting, hashing, comparing. Knows no Django."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

KEY_START = "sk-llmm"
_PREFIX_BYTES = 6
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class KeySecret:
    """A new key: the text for its owner, the prefix and hash for the database."""

    text: str
    prefix: str
    hash: str


def generate() -> KeySecret:
    """Return a new secret of 256 random bits: ``sk-llmm-<prefix>-<secret>``."""
    prefix = f"{KEY_START}-{secrets.token_hex(_PREFIX_BYTES)}"
    text = f"{prefix}-{secrets.token_urlsafe(_SECRET_BYTES)}"
    return KeySecret(text=text, prefix=prefix, hash=digest(text))


def prefix_of(text: str) -> str | None:
    """Return the prefix of a presented key, or None if it is not formed like a key."""
    parts = text.split("-", 3)
    if len(parts) != 4 or "-".join(parts[:2]) != KEY_START or not parts[3]:
        return None
    prefix = parts[2]
    return f"{KEY_START}-{prefix}" if len(prefix) == _PREFIX_BYTES * 2 else None


def digest(text: str) -> str:
    """Return the SHA-256 of a key, in hex.

    No salt and no key stretching: a secret of 256 random bits cannot be guessed.
    Never use this for passwords.
    """
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def matches(text: str, expected: str) -> bool:
    """Whether a presented key has this hash, compared in constant time."""
    return hmac.compare_digest(digest(text), expected)
