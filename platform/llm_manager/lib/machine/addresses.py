"""The addresses that a machine has in its networks."""

from __future__ import annotations

import socket

import psutil


def own_addresses() -> list[str]:
    """Return the machine's addresses as a Host header has them, IPv6 in brackets.

    Those that hold on one link only are left out: no URL can name them.
    """
    found = []
    for addresses in psutil.net_if_addrs().values():
        for each in addresses:
            if each.family == socket.AF_INET:
                found.append(each.address)
            elif each.family == socket.AF_INET6 and "%" not in each.address:
                found.append(f"[{each.address}]")
    return sorted(set(found))
