"""What is said in the tunnel before llama.cpp's own protocol. Pure.

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
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

#: The version of these messages.
TUNNEL = 1
#: A shorter secret could be guessed from a proof.
LEAST_SECRET = 32
#: Both sides of a session say that they live this often, and give the other up after so
#: much silence: a machine that is gone closes nothing.
BEATS_EVERY_S = 3.0
SILENT_AFTER_S = 20.0
#: What clients ask for: how the server is; to have it until the connection ends; to
#: reach llama.cpp's server in such a session.
STATUS, SESSION, DATA = "status", "session", "data"


def build() -> str:
    """Return what both sides must have the same of."""
    return f"llama-cpp-python {version('llama-cpp-python')}, tunnel {TUNNEL}"


def new_nonce() -> str:
    """Return a nonce of 32 bytes."""
    return secrets.token_hex(32)


@dataclass(frozen=True, slots=True)
class Ask:
    """A client's request. ``holder`` names the model that a session is for."""

    purpose: str
    build: str
    session: str = ""
    holder: str = ""
    nonce: str = field(default_factory=new_nonce)


@dataclass(frozen=True, slots=True)
class RpcOffer:
    """What a server has: its devices, with what they may hold, and who has it now."""

    devices: tuple[dict[str, Any], ...] = ()
    holder: str = ""


def proof(
    secret: str, role: str, certificate: bytes, server_nonce: str, ask: Ask
) -> str:
    """Return the proof of a side: ``role`` is ``client`` or ``server``."""
    said = [role, certificate.hex(), server_nonce, asdict(ask)]
    text = json.dumps(said, sort_keys=True).encode()
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


def is_proof(
    given: object,
    secret: str,
    role: str,
    certificate: bytes,
    server_nonce: str,
    ask: Ask,
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


def ask_of(message: dict[str, Any]) -> Ask:
    """Return a client's request. Raises ValueError."""
    given = message.get("ask")
    names = Ask.__dataclass_fields__
    if (
        not isinstance(given, dict)
        or given.keys() != names.keys()
        or not all(isinstance(each, str) for each in given.values())
    ):
        raise ValueError("no request")
    return Ask(**given)
