"""Checks of upstreams that are slow, or that have changed meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx2
import pytest

from inference.errors import UpstreamFailed
from inference.upstreams import checking
from inference.upstreams.connections import Link, breaker_for_config
from registry.models import Upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


def link_to(
    handler: Callable[[httpx2.Request], Coroutine[None, None, httpx2.Response]],
) -> Link:
    """Return a link to a server that does so."""
    client = httpx2.AsyncClient(transport=httpx2.MockTransport(handler))
    return Link((), client, breaker_for_config())


def upstream() -> Upstream:
    """Return a row that is not saved."""
    return Upstream(pk=1, name="there", base_url="https://there.example/v1")


async def test_a_check_ends_whatever_the_upstream_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def silent(request: httpx2.Request) -> httpx2.Response:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    monkeypatch.setattr(checking, "_MOST_S", -4.99)
    with pytest.raises(UpstreamFailed, match="in time"):
        async with asyncio.timeout(60):
            await checking.names_of(upstream(), link_to(silent))


async def test_a_link_of_a_row_that_has_changed_is_not_checked() -> None:
    asked: list[httpx2.Request] = []

    async def listing(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(200, json={"data": []})

    link = replace(link_to(listing), is_retired=True)
    checking.check_soon(upstream(), link)
    assert not link.is_checking
    assert link.checked_at is None


async def test_a_retired_link_is_closed_by_the_last_that_uses_it() -> None:
    async def listing(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json={"data": []})

    link = replace(link_to(listing), is_retired=True, running=2)
    await link.leave()
    assert not link.client.is_closed
    await link.leave()
    assert link.client.is_closed
