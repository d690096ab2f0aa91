"""What comes back of MCP servers, by a client that plays a script."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx2

from inference.api.responses_api.mcp import client as mcp_client
from inference.api.responses_api.mcp.errors import McpFailed
from inference.api.responses_api.mcp.servers import McpServer
from registry.hub.network import NetworkPolicy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

TOKEN = "s3cret-token"
SERVER = McpServer(
    "shop",
    "https://shop.example/mcp",
    NetworkPolicy(),
    {"Authorization": f"Bearer {TOKEN}"},
)


class Scripted:
    """A server that repeats the token that it was sent, wherever it can."""

    async def call_tool(self, name: str, arguments: dict[str, Any]) -> Any:
        said = SimpleNamespace(type="text", text=f"ordered with {TOKEN}")
        return SimpleNamespace(content=[said], is_error=False, structured_content=None)

    async def list_tools(self, *, cursor: str | None) -> Any:
        schema = {"type": "object", "properties": {TOKEN: {"enum": [TOKEN, 1]}}}
        tool = SimpleNamespace(
            name="order",
            description=f"For {TOKEN}.",
            input_schema=schema,
            annotations=None,
        )
        return SimpleNamespace(tools=[tool], next_cursor=None)


@asynccontextmanager
async def connected(server: McpServer) -> AsyncIterator[Scripted]:
    yield Scripted()


@asynccontextmanager
async def connected_badly(server: McpServer) -> AsyncIterator[Scripted]:
    yield Scripted()
    raise McpFailed(server.label, "it gives no answer within 60 s")


async def test_a_call_was_made_though_its_connection_ends_badly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mcp_client, "_connected", connected_badly)
    outcome = await mcp_client.call_tool(SERVER, "order", {})
    assert outcome.error is None
    assert outcome.output == "ordered with [secret]"


async def test_a_secret_that_a_server_repeats_among_its_tools_is_taken_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mcp_client, "_connected", connected)
    [tool] = await mcp_client.list_tools(SERVER, most=10)
    assert TOKEN not in str(tool)
    assert tool["name"] == "order"
    assert tool["input_schema"]["properties"] == {"[secret]": {"enum": ["[secret]", 1]}}


class Deaf(httpx2.AsyncBaseTransport):
    """Servers that take a request and never answer; ``asked`` are their paths."""

    asked: list[str]
    has_come: asyncio.Event

    def __init__(self, policy: NetworkPolicy) -> None:
        """Take what the real transport takes."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request.url.path)
        self.has_come.set()
        return await asyncio.Future()


async def test_a_caller_whose_servers_never_answer_leaves_places_to_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Deaf, "asked", [], raising=False)
    monkeypatch.setattr(Deaf, "has_come", asyncio.Event(), raising=False)
    monkeypatch.setattr(mcp_client, "AsyncCheckedTransport", Deaf)

    def call(caller: str) -> asyncio.Task[Any]:
        url = f"https://shop.example/{caller}"
        server = replace(SERVER, url=url, caller=caller)
        return asyncio.create_task(mcp_client.call_tool(server, "order", {}))

    calls = [call("hostile") for _ in range(40)] + [call("quiet")]
    async with asyncio.timeout(60):
        while "/quiet" not in Deaf.asked:
            Deaf.has_come.clear()
            await Deaf.has_come.wait()
    for each in calls:
        each.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
