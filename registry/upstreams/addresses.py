"""Which addresses an upstream may have."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from registry.hub.errors import AddressRefused
from registry.hub.network import NetworkPolicy

if TYPE_CHECKING:
    from collections.abc import Sequence


def upstream_policy(private_hosts: Sequence[str]) -> NetworkPolicy:
    """Return whom upstreams may be: public hosts by https, and those that are listed.

    ``private_hosts`` is ``upstreams.private_hosts``.
    """
    return NetworkPolicy(private_hosts=tuple(private_hosts), section="upstreams")


def origin_of(url: str) -> tuple[str, str, int]:
    """Return whom a valid address connects to: scheme, host, port."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, parts.hostname or "", port


def base_url_fault(url: str, private_hosts: Sequence[str]) -> str:
    """Return why an upstream cannot have this address, as a sentence; "" if it can.

    Nothing is resolved: what names stand for is checked at each connection.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "It is no address."
    if parts.scheme not in ("http", "https") or not host:
        return "It must begin with https:// or http:// and name a host."
    if parts.username or parts.password:
        return "It must not have a user name; the key has a field of its own."
    if parts.query or parts.fragment:
        return "It must end with its path, as in http://10.0.0.5:8000/v1."
    try:
        policy = upstream_policy(private_hosts)
        policy.check_url(parts.scheme, host)
        if _is_address(host):
            policy.check_address(host, host)
    except AddressRefused as error:
        return str(error)
    return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
