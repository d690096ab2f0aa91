"""Where servers of the tunnel may listen: on loopback and private addresses only."""

from __future__ import annotations

import ipaddress


def host_and_port(address: str) -> tuple[str, int]:
    """Return the parts of ``10.0.0.2:50052``. Raises ValueError."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def why_not_private(host: str) -> str:
    """Return why other networks may reach an address; empty if none can."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"{host} is no IP address: name that of the private network."
    if address.is_unspecified:
        return f"{host} is every network of this machine: name the private address."
    if not (address.is_private or address.is_link_local):
        return f"{host} is a public address."
    return ""
