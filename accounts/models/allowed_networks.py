"""The networks that a key may be used from."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Each request with the key is compared with every one.
MAX_NETWORKS = 64


def parse_networks(text: str) -> list[str]:
    """Return the networks in a text, between commas or white space, in CIDR notation.

    An address alone is the network of that address. Raises ValidationError.
    """
    return [_network(part) for part in text.replace(",", " ").split()]


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        pass
    try:
        near = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValidationError(
            f"'{text[:80]}' is no network; write one as 10.0.0.0/8 or 2001:db8::/32."
        ) from None
    raise ValidationError(f"'{text}' is an address in the network {near}: write that.")


def validate_networks(value: Any) -> None:
    """Check that it is a list of networks. Raises ValidationError."""
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValidationError("Enter a list of networks.")
    if len(value) > MAX_NETWORKS:
        raise ValidationError(f"Enter at most {MAX_NETWORKS} networks.")
    for each in value:
        if _network(each) != each:
            raise ValidationError(f"Write '{each[:80]}' as {_network(each)}.")


def is_within(address: str, networks: Sequence[str]) -> bool:
    """Return whether an address is in one of the networks; text that is none is not."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in ipaddress.ip_network(network) for network in networks)
