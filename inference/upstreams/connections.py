"""The connections of this process to upstreams, and what it knows of each."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import httpx2

from inference.errors import UpstreamFailed
from inference.upstreams.breaker import CircuitBreaker
from llm_manager.config.in_force import config
from registry.hub.network import AsyncCheckedTransport
from registry.models import Dialect
from registry.upstreams.addresses import upstream_policy
from registry.upstreams.sealing import KeyUnreadable

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from registry.models import Upstream

#: The version of Anthropic's API that is asked for where a client names none.
_ANTHROPIC_VERSION = "2023-06-01"


@dataclass(slots=True)
class Link:
    """The connections to one upstream, and how it has answered so far."""

    made_of: tuple[object, ...]
    client: httpx2.AsyncClient
    breaker: CircuitBreaker
    headers: dict[str, str] | None = None
    checked_at: float | None = None
    is_checking: bool = False
    running: int = 0
    is_retired: bool = False

    def headers_for(self, upstream: Upstream) -> dict[str, str]:
        """Return what shows the upstream who asks; its key is unsealed once.

        Raises UpstreamFailed.
        """
        if self.headers is None:
            self.headers = headers_for(upstream)
        return self.headers

    async def leave(self) -> None:
        """End one of what runs; the last of a retired link closes it."""
        self.running -= 1
        if self.is_retired and not self.running:
            await self.client.aclose()


class Links:
    """The links of one event loop; one whose upstream has changed is made again."""

    def __init__(self) -> None:
        self._links: dict[int, Link] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def to(self, upstream: Upstream) -> Link:
        """Return the link to an upstream."""
        made_of = (
            upstream.base_url,
            upstream.sealed_key,
            upstream.dialect,
            upstream.connect_timeout_s,
            upstream.read_timeout_s,
        )
        link = self._links.get(upstream.pk)
        if link is not None and link.made_of == made_of:
            return link
        if link is not None:
            self._retire(link)
        link = self._links[upstream.pk] = Link(
            made_of, _client(upstream), breaker_for_config()
        )
        return link

    async def aclose(self) -> None:
        """Wait for what runs in the background, and close all connections."""
        links, self._links = list(self._links.values()), {}
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(link.client.aclose() for link in links))

    def run(self, what: Coroutine[Any, Any, None]) -> None:
        """Run something in the background."""
        task = asyncio.create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _retire(self, link: Link) -> None:
        """Close a link; its requests go on, and the last of them closes it."""
        link.is_retired = True
        if not link.running:
            self.run(link.client.aclose())


def breaker_for_config() -> CircuitBreaker:
    """Return a closed breaker as the configuration has it."""
    settings = config().upstreams
    return CircuitBreaker(failures=settings.failures, pause_s=float(settings.pause))


def _client(upstream: Upstream) -> httpx2.AsyncClient:
    policy = upstream_policy(config().upstreams.private_hosts)
    return httpx2.AsyncClient(
        transport=AsyncCheckedTransport(policy, keeps_connections=True),
        follow_redirects=False,
        timeout=httpx2.Timeout(
            float(upstream.read_timeout_s), connect=float(upstream.connect_timeout_s)
        ),
        trust_env=False,
    )


def headers_for(upstream: Upstream) -> dict[str, str]:
    """Return what shows an upstream who asks. Raises UpstreamFailed."""
    try:
        key = upstream.key
    except KeyUnreadable:
        raise UpstreamFailed(
            f"The key of the upstream '{upstream}' was encrypted under another secret "
            "key; an administrator enters it again."
        ) from None
    headers = {
        "Content-Type": "application/json",
        # What it is packed with is not unpacked here.
        "Accept-Encoding": "identity",
    }
    if upstream.dialect == Dialect.ANTHROPIC:
        headers["anthropic-version"] = _ANTHROPIC_VERSION
        if key:
            headers["x-api-key"] = key
    elif key:
        headers["Authorization"] = f"Bearer {key}"
    return headers


_links: WeakKeyDictionary[asyncio.AbstractEventLoop, Links] = WeakKeyDictionary()


def links() -> Links:
    """Return the links of the running event loop."""
    loop = asyncio.get_running_loop()
    found = _links.get(loop)
    if found is None:
        found = _links[loop] = Links()
    return found
