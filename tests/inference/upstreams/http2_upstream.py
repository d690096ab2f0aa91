"""An upstream for hypercorn whose streams end when two of them run.

Each says in its text by which HTTP it was asked, and from which port of the client.
"""

from __future__ import annotations

import asyncio
from typing import Any

from tests.scripted_upstream import DONE, chunk

_running = 0
_both = asyncio.Event()


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer a request, by ASGI."""
    if scope["type"] != "http":
        return
    # More of a body after its answer makes hypercorn end the connection, and with it
    # the other stream.
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if scope["method"] == "POST":
        global _running
        _running += 1
        if _running == 2:
            _both.set()
        said = f"HTTP/{scope['http_version']} from {scope['client'][1]}"
        await send(_piece(chunk(said), more=True))
        await _both.wait()
    await send(_piece(chunk(finish_reason="stop") + DONE, more=False))


def _piece(text: str, *, more: bool) -> dict[str, Any]:
    return {"type": "http.response.body", "body": text.encode(), "more_body": more}
