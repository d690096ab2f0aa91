"""The process that attacks, against a server that answers at once."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from contextlib import suppress
from typing import TYPE_CHECKING

from llm_manager.lib.processes.python_path import python_path

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter


#: The clients of the attack.
_CLIENTS = 16


async def test_it_attacks_between_every_two_lines_and_rests_else() -> None:
    came: asyncio.Queue[None] = asyncio.Queue()
    answering = 0
    is_quiet = asyncio.Event()

    async def answer(reader: StreamReader, writer: StreamWriter) -> None:
        nonlocal answering
        answering += 1
        is_quiet.clear()
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
            came.put_nowait(None)
            await writer.drain()
        writer.close()
        answering -= 1
        if not answering:
            is_quiet.set()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        attacker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.workloads.attacks"),
            *("wrong-keys", str(port), "model", "key"),
            stdin=PIPE,
            stdout=PIPE,
            env={"PYTHONPATH": python_path()},
        )
        assert attacker.stdin is not None
        assert attacker.stdout is not None
        assert await attacker.stdout.readline() == b"ready\n"
        assert came.empty()
        for _ in range(2):
            attacker.stdin.write(b"\n")
            # Some have come again, so their first answers were counted.
            for _ in range(_CLIENTS + 1):
                await came.get()
            attacker.stdin.write(b"\n")
            await is_quiet.wait()
        result = json.loads((await attacker.communicate(b""))[0])
    assert result["statuses"]["401"] >= 2
    assert result["seconds"] > 0
