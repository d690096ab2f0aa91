"""A web process with a trivial application: `serve_stub_app.py PORT GATE`.

/ answers at once; /length says how much of the body it got; /large sends 30 MB in
pieces; /slow sends a word, waits until the file GATE exists, and ends.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from llm_manager.launcher.listening import listen
from llm_manager.web.process import WebServer

_START = {"type": "http.response.start", "status": 200, "headers": []}


def gate_is_open() -> bool:
    return Path(sys.argv[2]).exists()


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await send(_START)
    if scope["path"] == "/length":
        length = await length_of(receive)
        await send({"type": "http.response.body", "body": str(length).encode()})
        return
    if scope["path"] == "/large":
        for number in range(1000):
            piece = number.to_bytes(2, "big") * 15_000
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)
    if scope["path"] == "/slow":
        await send({"type": "http.response.body", "body": b"begun ", "more_body": True})
        while not gate_is_open():  # another process opens it
            await asyncio.sleep(0.01)
    await send({"type": "http.response.body", "body": b"ended"})


async def length_of(receive: Any) -> int:
    length = 0
    while True:
        message = await receive()
        length += len(message["body"])
        if not message["more_body"]:
            return length


if __name__ == "__main__":
    WebServer(
        application,
        listen("127.0.0.1", int(sys.argv[1])),
        drain_timeout_s=60,
        max_body_bytes=100_000,
    ).run()
