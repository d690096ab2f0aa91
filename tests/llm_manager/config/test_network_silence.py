"""Connections notice a silent network; they wait for a server that stands still."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from redis.asyncio import ConnectionPool

from llm_manager.config.network_silence import (
    SILENCE_S,
    postgresql_options,
    redis_host,
    redis_options,
)
from llm_manager.lib.redis.connections import TcpConnection, TlsConnection


def connection(url: str) -> Any:
    """Return a connection as channels_redis makes it."""
    host = redis_host(url)
    address = host.pop("address", None)
    pool: ConnectionPool = (
        ConnectionPool(**host)
        if address is None
        else ConnectionPool.from_url(address, **host)
    )
    return pool.make_connection()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("url", "kind"),
    [("redis://h:7/3", TcpConnection), ("rediss://h:7/3", TlsConnection)],
)
def test_redis_over_a_network_is_given_up_by_the_kernel(
    url: str, kind: type[Any]
) -> None:
    made = connection(url)
    assert type(made) is kind
    assert (made.host, made.port, made.db) == ("h", 7, 3)
    assert made.socket_keepalive
    assert made.socket_keepalive_options[socket.TCP_USER_TIMEOUT] == SILENCE_S * 1000


def test_blocking_pops_wait_for_as_long_as_they_like() -> None:
    assert connection("redis://h").socket_timeout is None
    assert "socket_timeout" not in redis_options("redis://h")


def test_a_unix_socket_has_no_network() -> None:
    assert redis_options("unix:///run/redis.sock") == {}
    assert connection("unix:///run/redis.sock").path == "/run/redis.sock"


def test_what_the_urls_say_goes_first() -> None:
    made = connection("redis://h?socket_connect_timeout=9&socket_timeout=60")
    assert (made.socket_connect_timeout, made.socket_timeout) == (9, 60)
    options = postgresql_options({"connect_timeout": 9, "sslmode": "require"})
    assert options["connect_timeout"] == 9
    assert options["sslmode"] == "require"
    assert options["tcp_user_timeout"] == SILENCE_S * 1000


def test_a_url_that_is_none_of_redis_is_refused() -> None:
    with pytest.raises(ValueError, match="redis://"):
        redis_host("http://h")
