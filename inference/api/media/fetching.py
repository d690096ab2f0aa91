"""Fetches images from addresses that strangers name.

What may be asked is decided by ``registry.hub.network``: https, hosts of a list, no
private address at any redirect, and the address that was checked is the one that is
connected to. Here are the bounds of size, time and number. What a client learns does
not say what answers inside the network.
"""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import httpx2

from llm_manager.config.in_force import config
from llm_manager.lib.processes.fair_threads import FairThreads
from llm_manager.lib.quoting import quote
from registry.hub.errors import AddressRefused, DownloadFailed
from registry.hub.network import AsyncCheckedTransport, NetworkPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

_MIB = 1024 * 1024
_MAX_REDIRECTS = 3
_HEADERS = {"Accept": "image/*", "Accept-Encoding": "identity"}
#: Fetches at once in a web process; a client has one at a time.
_PLACES = 4


class NotFetched(Exception):
    """The image cannot be fetched; the message says why."""


async def fetch_image(url: str, client: str, use: Callable[[bytes], _T]) -> _T:
    """Return what ``use`` makes of what is at an address. Raises NotFetched.

    It is fetched in the client's turn, which lasts until it is used: so no more images
    are in memory than there are places.
    """
    settings = config().media
    timeout_s = float(settings.fetch_timeout)
    policy = NetworkPolicy(hosts=settings.hosts, section="media")
    limit = settings.max_fetch_mb * _MIB

    def fetch() -> _T:
        return use(_fetch(url, policy, limit=limit, timeout_s=timeout_s))

    return await asyncio.wrap_future(_threads().submit(client, fetch))


@cache
def _threads() -> FairThreads:
    return FairThreads("fetching", threads=_PLACES)


def _fetch(url: str, policy: NetworkPolicy, *, limit: int, timeout_s: float) -> bytes:
    async def fetch() -> bytes:
        try:
            async with asyncio.timeout(timeout_s), _client(policy) as client:
                return await _fetched(client, url, limit)
        except TimeoutError:
            raise NotFetched(f"it takes longer than {timeout_s:g} s") from None

    # An event loop of its own: there, a fetch can be given up wherever it is.
    return asyncio.run(fetch())


def _client(policy: NetworkPolicy) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        transport=AsyncCheckedTransport(policy),
        follow_redirects=True,
        max_redirects=_MAX_REDIRECTS,
        # The time is that of all of it.
        timeout=None,
        trust_env=False,
    )


async def _fetched(client: httpx2.AsyncClient, url: str, limit: int) -> bytes:
    """Return what is at an address, of at most ``limit`` bytes. Raises NotFetched."""
    host = _checked_host(url)
    data = bytearray()
    try:
        async with client.stream("GET", url, headers=_HEADERS) as response:
            if response.status_code != httpx2.codes.OK:
                raise NotFetched(
                    f"'{quote(host)}' answers with the status {response.status_code}"
                )
            # As it comes: what it is packed with is not unpacked here.
            async for chunk in response.aiter_raw():
                data += chunk
                if len(data) > limit:
                    raise NotFetched(f"it has more than {limit // _MIB} MiB")
    except AddressRefused:
        # Not which address it is: that would be a map of the network inside.
        raise NotFetched(
            f"'{quote(host)}', or where it redirects to, is not permitted (media.hosts)"
        ) from None
    except (DownloadFailed, httpx2.HTTPError, httpx2.InvalidURL, ValueError):
        raise NotFetched(f"'{quote(host)}' gives no answer") from None
    return bytes(data)


def _checked_host(url: str) -> str:
    """Return the host of an address. Raises NotFetched for one with a password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise NotFetched("it is no address") from None
    if parts.username or parts.password:
        raise NotFetched("an address with a user name is not permitted")
    return parts.hostname or ""
