"""How soon connections to Redis and PostgreSQL notice that the network is silent.

The kernel notices: it counts bytes that the other machine does not acknowledge. A
server that stands still does acknowledge them, so it may be waited for as long as one
likes: Redis' blocking pops do. redis-py's ``socket_timeout`` would end those, too.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from redis.asyncio.connection import parse_url

from llm_manager.lib.redis.connections import TcpConnection, TlsConnection
from llm_manager.lib.redis.sentinel import MasterPool, is_sentinel, sentinel_host

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Retransmissions come at 0.2, 0.6, 1.4 … 12.6 and 25.4 s. A cut that is shorter than
#: this heals by one of them; after a longer one a new connection is there sooner.
SILENCE_S = 10
#: An idle connection is tried after this time, and again after each interval.
_IDLE_S, _INTERVAL_S, _PROBES = 5, 3, 3
#: For a new connection. The second SYN comes after one second, the third after three.
CONNECT_S = 3

#: By the name in ``socket``; a system has some of them. Linux has all.
_TCP_OPTIONS = {
    "TCP_KEEPIDLE": _IDLE_S,
    "TCP_KEEPINTVL": _INTERVAL_S,
    "TCP_KEEPCNT": _PROBES,
    "TCP_USER_TIMEOUT": SILENCE_S * 1000,
}


def redis_options(url: str) -> dict[str, Any]:
    """Return redis-py's options for a Redis at this URL; none for a Unix socket."""
    if urlsplit(url).scheme == "unix":
        return {}
    return {
        "socket_connect_timeout": CONNECT_S,
        "socket_keepalive": True,
        "socket_keepalive_options": {
            getattr(socket, name): value
            for name, value in _TCP_OPTIONS.items()
            if hasattr(socket, name)
        },
    }


def redis_host(url: str) -> dict[str, Any]:
    """Return a host of channels_redis. What the URL says goes before our options."""
    if urlsplit(url).scheme == "unix":
        return {"address": url}
    if is_sentinel(url):
        return sentinel_host(url, redis_options(url))
    said = dict(parse_url(url))
    is_tls = said.pop("connection_class", None) is not None
    connection_class = TlsConnection if is_tls else TcpConnection
    return {**redis_options(url), **said, "connection_class": connection_class}


def cache_options(url: str) -> dict[str, Any]:
    """Return the options of Django's cache for a Redis at this URL."""
    options = redis_options(url)
    return {**options, "pool_class": MasterPool} if is_sentinel(url) else options


def postgresql_options(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return libpq's options; those that the database URL says go before ours.

    libpq heeds them for TCP only.
    """
    return {
        "connect_timeout": CONNECT_S,
        "keepalives": 1,
        "keepalives_idle": _IDLE_S,
        "keepalives_interval": _INTERVAL_S,
        "keepalives_count": _PROBES,
        "tcp_user_timeout": SILENCE_S * 1000,
        **said,
    }
