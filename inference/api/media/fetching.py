"""Fetches images from addresses that strangers name.

What may be asked is decided by ``registry.hub.network``: https, hosts of a list, no
private address at any redirect, and the address that was checked is the one that is
connected to. Here are the bounds of size, time and number. What a client learns does
not say what answers inside the network.
"""

from __future__ import annotations

import time
from threading import BoundedSemaphore
from urllib.parse import urlsplit

import httpx2

from llm_manager.config.in_force import config
from llm_manager.lib.quoting import quote
from registry.hub.errors import AddressRefused, DownloadFailed
from registry.hub.network import CheckedTransport, NetworkPolicy

_MIB = 1024 * 1024
_MAX_REDIRECTS = 3
_HEADERS = {"Accept": "image/*", "Accept-Encoding": "identity"}
#: Fetches at once in a web process: each holds a thread.
_PLACES = BoundedSemaphore(4)


class NotFetched(Exception):
    """The image cannot be fetched; the message says why."""


def fetch_image(url: str) -> bytes:
    """Return what is at an address. Raises NotFetched."""
    settings = config().media
    timeout_s = float(settings.fetch_timeout)
    policy = NetworkPolicy(hosts=settings.hosts, section="media")
    if not _PLACES.acquire(timeout=timeout_s):
        raise NotFetched("too many are being fetched; try again")
    try:
        with _client(policy, timeout_s) as client:
            return _fetched(client, url, settings.max_fetch_mb * _MIB, timeout_s)
    finally:
        _PLACES.release()


def _client(policy: NetworkPolicy, timeout_s: float) -> httpx2.Client:
    return httpx2.Client(
        transport=CheckedTransport(policy),
        follow_redirects=True,
        max_redirects=_MAX_REDIRECTS,
        timeout=timeout_s,
        trust_env=False,
    )


def _fetched(client: httpx2.Client, url: str, limit: int, timeout_s: float) -> bytes:
    """Return what is at an address, of at most ``limit`` bytes. Raises NotFetched."""
    host = _checked_host(url)
    ends_at = time.monotonic() + timeout_s
    data = bytearray()
    try:
        with client.stream("GET", url, headers=_HEADERS) as response:
            if response.status_code != httpx2.codes.OK:
                raise NotFetched(
                    f"'{quote(host)}' answers with the status {response.status_code}"
                )
            # As it comes: what it is packed with is not unpacked here.
            for chunk in response.iter_raw():
                data += chunk
                if len(data) > limit:
                    raise NotFetched(f"it has more than {limit // _MIB} MiB")
                if time.monotonic() > ends_at:
                    raise NotFetched(f"it takes longer than {timeout_s:g} s")
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
