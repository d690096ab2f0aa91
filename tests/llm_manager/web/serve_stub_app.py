"""A web process with a trivial application: `serve_stub_app.py PORT GATE TIMEOUT`.

/ answers at once and reads no body; /length says how much of the body it got; /held
waits until the file GATE exists before it reads the body; /large sends 30 MB in pieces;
/endless sends until it is stopped, and then makes the file GATE; /slow sends a word,
waits until GATE exists, and ends; /broken sends a word and fails.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from llm_manager.launcher.listening import listen
from llm_manager.web.connections.web_server import WebServer

_START = {"type": "http.response.start", "status": 200, "headers": []}


def gate_is_open() -> bool:
    return Path(sys.argv[2]).exists()


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["path"] in ("/length", "/held"):
        while scope["path"] == "/held" and not gate_is_open():
            await asyncio.sleep(0.01)
        length = await length_of(receive)
        await send(_START)
        await send({"type": "http.response.body", "body": str(length).encode()})
        return
    body = b"ended"
    length_header = (b"content-length", b"5")
    is_short = scope["path"] == "/"
    await send({**_START, "headers": [length_header] if is_short else []})
    if scope["path"] == "/broken":
        await send({"type": "http.response.body", "body": b"begun ", "more_body": True})
        raise RuntimeError
    if scope["path"] == "/endless":
        await receive()
        leaving = asyncio.create_task(receive())
        await send_until_stopped(leaving, send)
    if scope["path"] == "/large":
        for number in range(1000):
            piece = number.to_bytes(2, "big") * 15_000
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)
    if scope["path"] == "/slow":
        await send({"type": "http.response.body", "body": b"begun ", "more_body": True})
        while not gate_is_open():  # another process opens it
            await asyncio.sleep(0.01)
    await send({"type": "http.response.body", "body": body})


async def send_until_stopped(leaving: asyncio.Task[Any], send: Any) -> None:
    sent = 0
    while not leaving.done():
        piece = {"body": b"x" * 10_000, "more_body": True}
        await send({"type": "http.response.body", **piece})
        sent += 10_000
        await asyncio.sleep(0)
    gate = Path(sys.argv[2])
    gate.with_suffix(".new").write_text(str(sent))
    gate.with_suffix(".new").rename(gate)


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
        receive_timeout_s=float(sys.argv[3]),
        stall_timeout_s=1,
        max_connections=60,
    ).run()
