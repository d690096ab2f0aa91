"""Where RPC servers listen, and where they may."""

from __future__ import annotations

import ipaddress


def host_and_port(address: str) -> tuple[str, int]:
    """Return the parts of ``10.0.0.2:50052``. Raises ValueError."""
    host, _, port = address.rpartition(":")
    return host, int(port)


def why_not_listen(host: str) -> str:
    """Return why an RPC server may not listen on an address; empty if it may.

    It may on those that no other network reaches: loopback and private ones.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"{host} is no IP address: name that of the private network."
    if address.is_unspecified:
        return f"{host} is every network of this machine: name the private address."
    if not (address.is_private or address.is_link_local):
        return (
            f"{host} is a public address. An RPC server listens on private ones only: "
            "whoever reaches it and knows the secret has this process' rights."
        )
    return ""
