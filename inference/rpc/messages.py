"""What is asked of RPC servers in the tunnel, before llama.cpp's own protocol. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from llm_manager.lib.tunnel.proofs import new_nonce

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
