"""How both sides prove that they know the secret, in lines of JSON. Pure.

The server says a nonce; the client asks, with a proof that it knows the secret; the
server answers, with its own proof. A proof is an HMAC over the whole request, both
nonces and the certificate that each side sees: one in between has another certificate,
so the proofs that it passes on are wrong.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def new_nonce() -> str:
    """Return a nonce of 32 bytes."""
    return secrets.token_hex(32)


def proof(
    secret: str,
    role: str,
    certificate: bytes,
    server_nonce: str,
    ask: DataclassInstance,
) -> str:
    """Return the proof of a side: ``role`` is ``client`` or ``server``.

    ``ask`` is the client's request, with a nonce of the client's among its fields.
    """
    said = [role, certificate.hex(), server_nonce, asdict(ask)]
    text = json.dumps(said, sort_keys=True).encode()
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


def is_proof(
    given: object,
    secret: str,
    role: str,
    certificate: bytes,
    server_nonce: str,
    ask: DataclassInstance,
) -> bool:
    """Return whether a proof is right, in a time that does not depend on it."""
    wanted = proof(secret, role, certificate, server_nonce, ask)
    return isinstance(given, str) and hmac.compare_digest(
        given.encode("utf-8", "surrogatepass"), wanted.encode()
    )


def line(**members: Any) -> bytes:
    """Return a message as a line."""
    return json.dumps(members).encode() + b"\n"


def parsed(text: bytes) -> dict[str, Any]:
    """Return the message of a line. Raises ValueError."""
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError("too deep") from None
    if not isinstance(found, dict):
        raise ValueError("a message is an object")
    return found
