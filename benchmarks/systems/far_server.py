"""``python -m benchmarks.systems.far_server PORT STEP_MS``: it computes nothing.

It answers each chat with as many events as tokens may be written, one each step, as a
server does that has nothing else to do: what is measured is who passes them on.
"""

from __future__ import annotations

import asyncio
import json
import sys

_MODEL = "far-away"


def _event(delta: dict[str, str], reason: str | None = None) -> bytes:
    value = {
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion.chunk",
        "created": 1796000000,
        "model": _MODEL,
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
    }
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


def _usage(tokens: int) -> bytes:
    counts = {"prompt_tokens": 60, "completion_tokens": tokens}
    value = {"model": _MODEL, "choices": [], "usage": counts}
    return b"data: " + json.dumps(value).encode() + b"\n\n"


_WORD = _event({"content": " word"})


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def _answer(writer: asyncio.StreamWriter, tokens: int, step_s: float) -> None:
    writer.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
        b"transfer-encoding: chunked\r\n\r\n"
    )
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for number in range(tokens):
        writer.write(_chunk(_WORD))
        await writer.drain()
        # By the clock: late steps are made up for.
        await asyncio.sleep(max(begun + (number + 1) * step_s - loop.time(), 0))
    end = _event({}, "length") + _usage(tokens) + b"data: [DONE]\n\n"
    writer.write(_chunk(end) + b"0\r\n\r\n")
    await writer.drain()


async def _list(writer: asyncio.StreamWriter) -> None:
    content = json.dumps({"object": "list", "data": [{"id": _MODEL}]}).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(content)}\r\n\r\n"
    writer.write(head.encode() + content)
    await writer.drain()


async def _serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, step_s: float
) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            if head.startswith("get"):
                await _list(writer)
                continue
            _, _, rest = head.partition("content-length:")
            body = json.loads(await reader.readexactly(int(rest.split()[0])))
            await _answer(writer, body["max_tokens"], step_s)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _main(port: int, step_s: float) -> None:
    server = await asyncio.start_server(
        lambda reader, writer: _serve(reader, writer, step_s), "127.0.0.1", port
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), float(sys.argv[2]) / 1000))
