"""The API with a model that a scripted upstream serves, and the rows that it writes."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async

from accounts.usage.recorder import usage_recorder
from inference.upstreams.connections import links
from tests.factories import make_upstream, make_upstream_model
from tests.scripted_upstream import scripted_upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from registry.models import UpstreamModel
    from tests.scripted_upstream import ScriptedUpstream


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is written down of requests that are over."""
    found: list[dict[str, Any]] = []
    begun: dict[str, Any] = {}
    monkeypatch.setattr(
        usage_recorder, "begin", lambda id_, fields, _: begun.update(fields)
    )
    monkeypatch.setattr(
        usage_recorder, "end", lambda _, fields: found.append({**begun, **fields})
    )
    return found


class Upstreams:
    """Starts scripted upstreams."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    async def start(
        self, script: Callable[[Any, Any], Awaitable[None]], **more: Any
    ) -> ScriptedUpstream:
        """Return an upstream that plays a script."""
        return await self._stack.enter_async_context(scripted_upstream(script, **more))

    async def model(
        self,
        script: Callable[[Any, Any], Awaitable[None]],
        name: str = "far",
        model: dict[str, Any] | None = None,
        *,
        keeps_alive: bool = False,
        **upstream: Any,
    ) -> tuple[UpstreamModel, ScriptedUpstream]:
        """Return a model and the upstream that serves it by a script."""
        server = await self.start(script, keeps_alive=keeps_alive)
        row = await sync_to_async(make_upstream)(
            f"server of {name}", **{"base_url": server.base_url, **upstream}
        )
        made = await sync_to_async(make_upstream_model)(name, row, **(model or {}))
        return made, server


@pytest.fixture
async def upstreams(
    configure: Callable[..., None],
) -> AsyncIterator[Upstreams]:
    """Upstreams on this machine, which the configuration permits."""
    configure(upstreams__private_hosts=("127.0.0.1",))
    async with AsyncExitStack() as stack:
        yield Upstreams(stack)
        await links().aclose()
