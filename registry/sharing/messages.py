"""What nodes ask each other for. Pure.

``describe`` is answered with the size and the SHA-256 of each file, ``send`` with a
line that says the size, and the bytes from an offset on.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Any

from llm_manager.lib.tunnel.proofs import new_nonce

DESCRIBE, SEND = "describe", "send"
#: Connecting, TLS and the proofs may take this long together.
CONNECTS_WITHIN_S = 10.0
#: While files are hashed their node says so this often. After so much silence it is
#: given up; a machine that is gone closes nothing.
BEATS_EVERY_S = 3.0
SILENT_AFTER_S = 20.0
#: Longer lines are no messages. A model has at most 10,000 shards of 110 characters.
MAX_LINE = 2 * 1024 * 1024

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class FileAsk:
    """A request for the files of a model, or for one of them from a byte on."""

    purpose: str
    fingerprint: str
    number: int = 0
    offset: int = 0
    nonce: str = field(default_factory=new_nonce)


def shared_secret(secret_key: str) -> str:
    """Return what nodes of one installation share, derived from its secret key."""
    return hmac.new(
        secret_key.encode(), b"llm-manager model files", hashlib.sha256
    ).hexdigest()


def ask_of(message: dict[str, Any]) -> FileAsk:
    """Return a client's request. Raises ValueError."""
    given = message.get("ask")
    if (
        not isinstance(given, dict)
        or given.keys() != FileAsk.__dataclass_fields__.keys()
    ):
        raise ValueError("no request")
    texts = (given["purpose"], given["fingerprint"], given["nonce"])
    counts = (given["number"], given["offset"])
    if not all(isinstance(each, str) for each in texts):
        raise ValueError("no request")
    if texts[0] not in (DESCRIBE, SEND) or not _FINGERPRINT.fullmatch(texts[1]):
        raise ValueError("no request")
    if not all(map(_is_count, counts)):
        raise ValueError("no request")
    return FileAsk(**given)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63
