"""Whose address a request comes from."""

from __future__ import annotations

import pytest

from accounts.limits.client_ip import client_ip


@pytest.mark.parametrize(
    ("remote", "forwarded", "proxies", "client"),
    [
        # Nobody in front: the header is the client's own invention.
        ("192.0.2.1", None, 0, "192.0.2.1"),
        ("192.0.2.1", "198.51.100.9", 0, "192.0.2.1"),
        # Each trusted proxy has appended the address of its caller.
        ("10.0.0.1", "192.0.2.1", 1, "192.0.2.1"),
        ("10.0.0.1", "198.51.100.9, 192.0.2.1", 1, "192.0.2.1"),
        ("10.0.0.1", "198.51.100.9, 192.0.2.1, 10.0.0.2", 2, "192.0.2.1"),
        ("10.0.0.1", "192.0.2.1", 2, "192.0.2.1"),
        ("10.0.0.1", None, 1, "10.0.0.1"),
        ("10.0.0.1", "nonsense", 1, "10.0.0.1"),
        # One spelling of each address, and no ports.
        ("192.0.2.1:5000", None, 0, "192.0.2.1"),
        ("10.0.0.1", "[2001:db8:1:2:3::4]:5000", 1, "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", None, 0, "2001:db8:1:2::"),
        ("fe80::1%eth0", None, 0, "fe80::"),
        ("::ffff:192.0.2.1", None, 0, "192.0.2.1"),
        # A Unix socket has no address.
        ("", None, 0, "local"),
        (None, "", 3, "local"),
    ],
)
def test_the_client_is_the_last_address_that_can_be_trusted(
    remote: str | None, forwarded: str | None, proxies: int, client: str
) -> None:
    meta = {"REMOTE_ADDR": remote, "HTTP_X_FORWARDED_FOR": forwarded}

    assert client_ip(meta, trusted_proxies=proxies) == client
