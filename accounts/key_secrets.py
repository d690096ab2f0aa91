"""API key secrets: made, taken apart, hashed, compared. No ORM here."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

MARK = "sk-llmm"
_PREFIX_BYTES = 6
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Secret:
    """A fresh key: the text for its owner, the prefix and hash for the database."""

    text: str
    prefix: str
    hash: str


def generate() -> Secret:
    """Return a new secret of 256 random bits: ``sk-llmm-<prefix>-<secret>``."""
    prefix = f"{MARK}-{secrets.token_hex(_PREFIX_BYTES)}"
    text = f"{prefix}-{secrets.token_urlsafe(_SECRET_BYTES)}"
    return Secret(text=text, prefix=prefix, hash=digest(text))


def split(text: str) -> str | None:
    """Return the prefix of a presented key, or None if it has not a key's form."""
    parts = text.split("-", 3)
    if len(parts) != 4 or "-".join(parts[:2]) != MARK or not parts[3]:
        return None
    prefix = parts[2]
    return f"{MARK}-{prefix}" if len(prefix) == _PREFIX_BYTES * 2 else None


def digest(text: str) -> str:
    """Return the SHA-256 of a key, in hex.

    Without salt or stretching: the secret has 256 random bits, so there is
    nothing to guess. Never use this for passwords.
    """
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def matches(text: str, expected: str) -> bool:
    """Whether a presented key has this hash, compared in constant time."""
    return hmac.compare_digest(digest(text), expected)
