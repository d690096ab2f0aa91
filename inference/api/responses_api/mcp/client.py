"""Asks MCP servers for their tools, and calls these.

What comes back is a stranger's: it is bounded in bytes and time, and nothing of it is
followed, neither redirects nor requests of the server to its client.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx2

from inference.api.responses_api.mcp.errors import McpFailed
from inference.api.responses_api.output.outcomes import McpOutcome
from llm_manager.config.in_force import config
from llm_manager.lib.processes.fair_places import FairPlaces
from registry.hub.errors import AddressRefused, DownloadFailed
from registry.hub.network import AsyncCheckedTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from mcp import Client

    from inference.api.responses_api.mcp.servers import McpServer

_KIB = 1024
#: The most bytes of one answer of a server besides what a call may return.
_ENVELOPE_BYTES = 1024 * _KIB
#: The most pages of a list of tools.
_MAX_PAGES = 16
#: A header with fewer characters is no secret.
_SECRET = 6
#: The longest message of an error of a server.
_MAX_MESSAGE = 2000
#: Servers that are asked at once in a web process, and of these for one caller: a
#: server may let its caller wait for as long as a call may take.
_PLACES = FairPlaces(32, most=8)


async def list_tools(server: McpServer, *, most: int) -> list[dict[str, Any]]:
    """Return the tools of a server, as OpenAI's items have them. Raises McpFailed."""
    found: list[dict[str, Any]] = []
    async with _connected(server) as client:
        cursor: str | None = None
        for _ in range(_MAX_PAGES):
            page = await client.list_tools(cursor=cursor)
            found += [_masked_value(_shown(tool), server) for tool in page.tools]
            cursor = page.next_cursor
            if cursor is None:
                return found
            if len(found) > most:
                break
    raise McpFailed(
        server.label, f"it has more than {most} tools, or more than {_MAX_PAGES} pages"
    )


async def call_tool(
    server: McpServer, name: str, arguments: dict[str, Any]
) -> McpOutcome:
    """Call a tool of a server once; whatever goes wrong is the outcome."""
    result = None
    try:
        async with _connected(server) as client:
            result = await client.call_tool(name, arguments)
    except McpFailed as error:
        # The call was made if only the connection's end has failed.
        if result is None:
            return McpOutcome.failed(_masked(str(error), server))
    text = _masked(_text_of(result), server)
    most = config().api.mcp_max_result_kb
    if len(text.encode("utf-8", "replace")) > most * _KIB:
        return McpOutcome.failed(
            f"The result has more than {most} KiB (api.mcp_max_result_kb)."
        )
    if result.is_error:
        content = [{"type": "text", "text": text}]
        return McpOutcome(
            error={"type": "mcp_tool_execution_error", "content": content}
        )
    return McpOutcome(output=text)


@asynccontextmanager
async def _connected(server: McpServer) -> AsyncIterator[Client]:
    """Yield a client of a server. Raises McpFailed for all that goes wrong with it."""
    # It is large, and most servers call no MCP servers.
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    settings = config().api
    seconds = float(settings.mcp_timeout)
    most = _ENVELOPE_BYTES + settings.mcp_max_result_kb * _KIB * 4
    try:
        async with (
            asyncio.timeout(seconds),
            _PLACES.place(server.caller),
            httpx2.AsyncClient(
                transport=_Bounded(AsyncCheckedTransport(server.policy), most),
                headers={**server.headers, "Accept-Encoding": "identity"},
                timeout=seconds,
                max_redirects=0,
                trust_env=False,
            ) as http,
            Client(
                streamable_http_client(
                    server.url, http_client=http, max_sse_event_size=most
                ),
                read_timeout_seconds=seconds,
                cache=None,
            ) as client,
        ):
            yield client
    except TimeoutError:
        raise McpFailed(
            server.label, f"it gives no answer within {seconds:g} s"
        ) from None
    except Exception as error:
        raise McpFailed(server.label, _masked(_why(error), server)) from None


class _TooLong(httpx2.TransportError):
    """An answer has more bytes than it may."""


class _Bounded(httpx2.AsyncBaseTransport):
    """A transport whose answers have at most so many bytes each, and are not packed."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, most: int) -> None:
        self._inner = inner
        self._most = most

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise _TooLong("it is packed")
        assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101
        response.stream = _BoundedStream(response.stream, self._most)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, most: int) -> None:
        self._inner = inner
        self._left = most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._inner:
            self._left -= len(piece)
            if self._left < 0:
                raise _TooLong("it is too long")
            yield piece

    async def aclose(self) -> None:
        await self._inner.aclose()


def _masked(text: str, server: McpServer) -> str:
    """Return a text without the secrets of a server: it may repeat what it was sent."""
    for value in server.headers.values():
        for secret in {value, value.removeprefix("Bearer ")}:
            if len(secret) >= _SECRET:
                text = text.replace(secret, "[secret]")
    return text


def _masked_value(value: Any, server: McpServer) -> Any:
    """Return a JSON value without the secrets of a server."""
    match value:
        case str():
            return _masked(value, server)
        case dict():
            return {
                _masked(name, server): _masked_value(each, server)
                for name, each in value.items()
            }
        case list():
            return [_masked_value(each, server) for each in value]
    return value


def _shown(tool: Any) -> dict[str, Any]:
    hints = tool.annotations
    return {
        "name": tool.name,
        "description": tool.description,
        "input_schema": tool.input_schema,
        "annotations": {"read_only": bool(hints and hints.read_only_hint)},
    }


def _text_of(result: Any) -> str:
    """Return the texts of a result; what is none is named, and left out."""
    texts = []
    for part in result.content:
        if part.type == "text":
            texts.append(part.text)
        elif part.type == "resource" and getattr(part.resource, "text", None):
            texts.append(part.resource.text)
        elif part.type == "resource_link":
            texts.append(str(part.uri))
        else:
            texts.append(f"[a part of type {part.type} is left out]")
    if not texts and result.structured_content is not None:
        return json.dumps(result.structured_content, ensure_ascii=False)
    return "\n".join(texts)


def _why(error: BaseException) -> str:
    """Return what is wrong in words that say nothing of the network inside."""
    from mcp import MCPError

    causes = list(_leaves(error))
    for each in causes:
        if isinstance(each, _TooLong):
            return "its answer is too long, or packed"
        if isinstance(each, AddressRefused):
            return "its address is not permitted (api.mcp_servers)"
    for each in causes:
        if isinstance(each, MCPError):
            said = each.error.message
            if len(said) > _MAX_MESSAGE:
                said = f"a text of {len(said)} characters, which is too long"
            return f"it answers with the error {each.error.code}: {said}"
        if isinstance(each, httpx2.HTTPStatusError):
            return f"it answers with the status {each.response.status_code}"
        if isinstance(each, (httpx2.HTTPError, DownloadFailed, OSError)):
            return "it cannot be reached"
    return "it does not speak MCP by streamable HTTP"


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
        return
    yield error
    if error.__cause__ is not None:
        yield from _leaves(error.__cause__)
