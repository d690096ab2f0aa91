"""The IP address that a request is counted under."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Stands for a connection without an address (a Unix socket).
LOCAL = "local"
#: A household or a server usually has a whole /64, so that is one client.
_IPV6_PREFIX = 64
#: No address is longer, with a scope and a port.
_LONGEST = 100


def client_address(meta: Mapping[str, Any], *, trusted_proxies: int) -> str:
    """Return the client's address in its canonical form, or LOCAL.

    Every trusted proxy appends the address that it was called from, so the last
    ``trusted_proxies`` entries of X-Forwarded-For can be trusted and the first of
    them is the client. The client itself may have invented the entries before.
    """
    remote = str(meta.get("REMOTE_ADDR") or "")
    entries = str(meta.get("HTTP_X_FORWARDED_FOR") or "").split(",")
    trusted = [entry.strip() for entry in entries][-trusted_proxies:]
    forwarded = trusted[0] if trusted_proxies else ""
    if len(forwarded) > _LONGEST:
        # Nothing of any length is remembered.
        forwarded = ""
    return _normalized(forwarded) or _normalized(remote) or LOCAL


def client_ip(meta: Mapping[str, Any], *, trusted_proxies: int) -> str:
    """Return what a client is counted under: its address; in IPv6 its /64 network."""
    address = client_address(meta, trusted_proxies=trusted_proxies)
    if ":" not in address:
        return address
    network = ipaddress.ip_network((address, _IPV6_PREFIX), strict=False)
    return str(network.network_address)


@lru_cache(maxsize=4096)
def _normalized(text: str) -> str | None:
    """Return the address in its canonical form, without a port, or None."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)
