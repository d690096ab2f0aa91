"""The master among several Redis servers, which Sentinels know.

A URL names the Sentinels and their name for the master, as in
``redis+sentinel://:password@one:26379,two:26379/mymaster?db=0``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from redis.asyncio.sentinel import (
    SentinelManagedConnection as AsyncManagedConnection,
)
from redis.asyncio.sentinel import (
    SentinelManagedSSLConnection as AsyncManagedSSLConnection,
)
from redis.sentinel import Sentinel, SentinelConnectionPool

from llm_manager.lib.redis.connections import EndsWithItsSocket

#: The schemes of such a URL, and whether connections to Redis and Sentinels have TLS.
_SCHEMES = {"redis+sentinel": False, "rediss+sentinel": True}
_PORT = 26379
#: After this, the next Sentinel is asked.
_TIMEOUT = {"socket_timeout": 3.0}
_FORM = "redis+sentinel://host:26379,host:26379/name-of-the-master"


@dataclass(frozen=True, slots=True)
class SentinelUrl:
    """What a URL says: ``options`` for Redis, ``sentinel_options`` for Sentinels.

    ``tls`` are the options of TLS to both; None is without TLS.
    """

    sentinels: tuple[tuple[str, int], ...]
    master: str
    tls: dict[str, Any] | None
    options: dict[str, Any]
    sentinel_options: dict[str, Any]


def is_sentinel(url: str) -> bool:
    """Whether a URL names Sentinels."""
    return urlsplit(url).scheme in _SCHEMES


def parse_sentinel_url(url: str) -> SentinelUrl:
    """Return what a URL says. Raises ValueError.

    The user and the password are those of Redis; ``sentinel_username`` and
    ``sentinel_password`` in the query are those of the Sentinels. With TLS,
    ``ssl_ca_certs`` is a file of certificates that sign those of all servers.
    """
    parts = urlsplit(url)
    user, _, hosts = parts.netloc.rpartition("@")
    sentinels = tuple(_address(each) for each in hosts.split(",") if each)
    master = unquote(parts.path.strip("/"))
    if not sentinels or not master or "/" in master:
        raise ValueError(f"the URL of Sentinels has the form {_FORM}")
    name, _, password = user.partition(":")
    options: dict[str, Any] = {"db": 0}
    if name:
        options["username"] = unquote(name)
    if password:
        options["password"] = unquote(password)
    sentinel_options: dict[str, Any] = {}
    tls: dict[str, Any] | None = {} if _SCHEMES[parts.scheme] else None
    for key, value in parse_qsl(parts.query):
        match key:
            case "db" if value.isdecimal():
                options["db"] = int(value)
            case "sentinel_username" | "sentinel_password":
                sentinel_options[key.removeprefix("sentinel_")] = value
            case "ssl_ca_certs" if tls is not None:
                tls[key] = value
            case _:
                # The value may be a password.
                raise ValueError(f"the URL of Sentinels has no such {key}")
    return SentinelUrl(sentinels, master, tls, options, sentinel_options)


def _address(text: str) -> tuple[str, int]:
    # An IPv6 address has brackets.
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError(f"the URL of Sentinels has the form {_FORM}")
    return parts.hostname, parts.port or _PORT


def _for_sentinels(said: SentinelUrl, options: dict[str, Any]) -> dict[str, Any]:
    """Return redis-py's options of connections to Sentinels, given those to Redis."""
    sockets = {key: each for key, each in options.items() if key.startswith("socket_")}
    tls = {} if said.tls is None else {"ssl": True, **said.tls}
    return sockets | _TIMEOUT | tls | said.sentinel_options


class MasterPool(SentinelConnectionPool):
    """Connections of threads to the master."""

    @classmethod
    def from_url(cls, url: str, **options: Any) -> MasterPool:
        """Return a pool for a URL, with options of redis-py. Raises ValueError."""
        said = parse_sentinel_url(url)
        manager = Sentinel(  # type: ignore[no-untyped-call]
            said.sentinels, sentinel_kwargs=_for_sentinels(said, options)
        )
        tls = {} if said.tls is None else {"ssl": True, **said.tls}
        return cls(said.master, manager, **{**options, **said.options, **tls})


class MasterConnection(EndsWithItsSocket, AsyncManagedConnection):
    """A connection of an event loop to the master."""


class TlsMasterConnection(EndsWithItsSocket, AsyncManagedSSLConnection):
    """A connection of an event loop to the master, with TLS."""


def sentinel_host(url: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return a host of channels_redis, with options of redis-py. Raises ValueError."""
    said = parse_sentinel_url(url)
    return {
        "sentinels": list(said.sentinels),
        "master_name": said.master,
        "sentinel_kwargs": _for_sentinels(said, options),
        **options,
        **said.options,
        **(said.tls or {}),
        "connection_class": MasterConnection
        if said.tls is None
        else TlsMasterConnection,
    }
