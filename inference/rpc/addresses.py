"""Where RPC servers may listen."""

from __future__ import annotations

from llm_manager.lib.tunnel.addresses import why_not_private


def why_not_listen(host: str) -> str:
    """Return why an RPC server may not listen on an address; empty if it may.

    It may on those that no other network reaches: loopback and private ones.
    """
    reason = why_not_private(host)
    if not reason.endswith("is a public address."):
        return reason
    return (
        f"{reason} An RPC server listens on private ones only: "
        "whoever reaches it and knows the secret has this process' rights."
    )
