"""What hostile clients send. A new attack is one more line in ``ATTACKS``.

`python -m benchmarks.workloads.attacks NAME PORT MODEL KEY` says "ready" when it has
made its requests. Each line of its input begins an attack or ends it, in turn; at the
end of its input it prints what came of them all. An attacker from elsewhere takes no
processor of the victim's. So that this one takes little, it is a process of its own
with the lowest priority, and its requests are made beforehand.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import secrets
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_MIB = 1024 * 1024
_CHAT = "/v1/chat/completions"
_NICENESS = 19
#: Requests of an attack that varies: more than a server keeps anything of.
_VARIETIES = 2000


@dataclass(frozen=True, slots=True)
class Attack:
    """Some clients; each sends the same request again when it is answered.

    ``body`` makes the body for a model's name; it is sent packed as ``encoding`` says.
    Of a ``cut`` one the last bytes are never sent; of an ``unread`` answer only the
    status is read. Either holds its connection until the server ends it. One that
    ``varies`` has another body each time, so that no cache helps.
    """

    name: str
    clients: int
    body: Callable[[str], bytes]
    encoding: str = ""
    is_key_wrong: bool = False
    is_cut: bool = False
    is_unread: bool = False
    varies: bool = False
    path: str = _CHAT

    def request(self, model: str, key: str) -> bytes:
        """Return the raw request."""
        body = self.body(model)
        lines = [
            *(f"POST {self.path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close"),
            *("Content-Type: application/json", f"Content-Length: {len(body)}"),
            f"Authorization: Bearer {key}{'x' if self.is_key_wrong else ''}",
            *([f"Content-Encoding: {self.encoding}"] if self.encoding else []),
        ]
        request = "\r\n".join([*lines, "", ""]).encode() + body
        return request[: -_MIB // 2] if self.is_cut else request


def chat(model: str, text: str = "Hi", **members: Any) -> bytes:
    """Return the body of a chat request."""
    message = {"role": "user", "content": text}
    return json.dumps({"model": model, "messages": [message], **members}).encode()


def _many_keys(model: str) -> bytes:
    return chat(model, metadata={f"k{number}": "" for number in range(500_000)})


def _bomb(model: str) -> bytes:
    return gzip.compress(b'{"model": "' + b"a" * 1000 * _MIB, compresslevel=9)


def _dry(model: str) -> bytes:
    """Eight long breakers that begin as many tokens end; no two requests are alike."""
    tail = secrets.token_hex(20)[:39]
    return chat(
        model,
        max_tokens=1,
        dry_multiplier=0.8,
        dry_sequence_breakers=[letter + tail for letter in "esatrdni"],
    )


def _schema(model: str) -> bytes:
    """A schema of 60 members with patterns; no two requests are alike."""
    names = [f"{secrets.token_hex(8)}_{number}" for number in range(60)]
    member = {"type": "string", "pattern": "^[a-z]{1,40}-[0-9]{1,40}$"}
    schema = {
        "type": "object",
        "properties": dict.fromkeys(names, member),
        "required": names,
        "additionalProperties": False,
    }
    named = {"name": "many", "strict": True, "schema": schema}
    form = {"type": "json_schema", "json_schema": named}
    return chat(model, max_tokens=1, response_format=form)


def _long_text() -> str:
    """Return some 1,200 tokens; no two texts begin alike."""
    return secrets.token_hex(4) + " and so on" * 400


def _long_prompt(model: str) -> bytes:
    return chat(model, _long_text(), max_tokens=1)


def _echo(model: str) -> bytes:
    """A prompt that comes back with the likeliest tokens in each place."""
    body = {"model": model, "prompt": _long_text(), "max_tokens": 1}
    return json.dumps({**body, "echo": True, "logprobs": 20}).encode()


def _many_answers(model: str) -> bytes:
    logprobs = {"logprobs": True, "top_logprobs": 20}
    return chat(model, secrets.token_hex(8), n=16, max_tokens=8, **logprobs)


#: By name: what a server must withstand while it serves everybody else.
ATTACKS = {
    attack.name: attack
    for attack in (
        Attack("wrong-keys", 16, chat, is_key_wrong=True),
        Attack("bodies-of-10-mb", 8, lambda m: chat(m, "x" * 10_000_000)),
        Attack("many-values", 8, lambda m: chat(m, stop=[0] * 3_000_000)),
        Attack("many-keys", 4, _many_keys),
        Attack("small-parts", 8, lambda m: chat(m, messages=[{}] * 300_000)),
        Attack("gzip-bomb", 4, _bomb, encoding="gzip"),
        Attack(
            "unfinished-bodies", 60, lambda m: chat(m, "x" * 10_000_000), is_cut=True
        ),
        Attack("dry-breakers", 20, _dry, varies=True),
        Attack("schemas", 60, _schema, varies=True),
        Attack("long-prompts", 16, _long_prompt, varies=True),
        Attack("echoes", 8, _echo, varies=True, path="/v1/completions"),
        Attack("many-answers", 8, _many_answers, varies=True),
        # No attack: what as many clients cost that ask for nothing special.
        Attack("plain-requests", 60, lambda m: chat(m, max_tokens=1)),
        Attack(
            *("unread-streams", 4),
            lambda m: chat(
                *(m, "Count."),
                stream=True,
                max_tokens=1500,
                top_logprobs=20,
                logprobs=True,
                ignore_eos=True,
            ),
            is_unread=True,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Result:
    """How often each status came, and the seconds of CPU time that it cost."""

    statuses: dict[str, int]
    seconds: float
    cpu_s: float


async def attack(one: Attack, port: int, requests: list[bytes]) -> Result:
    """Begin and end with the lines of standard input; return what came of it."""
    statuses: Counter[str] = Counter()
    sent = cycle(requests)

    async def client() -> None:
        while True:
            try:
                statuses[await _send(one, next(sent), port)] += 1
            except OSError as error:
                statuses[type(error).__name__] += 1
                await asyncio.sleep(0.05)

    seconds = cpu_s = 0.0
    while await asyncio.to_thread(sys.stdin.readline):
        began, cpu_began = time.monotonic(), time.process_time()
        clients = [asyncio.create_task(client()) for _ in range(one.clients)]
        await asyncio.to_thread(sys.stdin.readline)
        for task in clients:
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        seconds += time.monotonic() - began
        cpu_s += time.process_time() - cpu_began
    return Result(dict(statuses), seconds, cpu_s)


async def _send(one: Attack, request: bytes, port: int) -> str:
    """Send one request; return its status, "" if the connection ended before."""
    # A small buffer: of an answer that is not read, little is taken.
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
    try:
        with contextlib.suppress(ConnectionError):
            writer.write(request)
            await writer.drain()
        line = await reader.readline()
        if one.is_unread:
            # Until the server cuts the connection, which shows when writing to it.
            with contextlib.suppress(ConnectionError):
                while True:
                    await asyncio.sleep(1)
                    writer.write(b"\r\n")
                    await writer.drain()
        while not one.is_unread and await reader.read(65_536):
            """To the end of the answer."""
        return line[9:12].decode("ascii", "replace")
    finally:
        writer.close()


if __name__ == "__main__":
    os.nice(_NICENESS)
    name, port, model, key = sys.argv[1:]
    chosen = ATTACKS[name]
    made = [
        chosen.request(model, key) for _ in range(_VARIETIES if chosen.varies else 1)
    ]
    print("ready", flush=True)
    print(json.dumps(asdict(asyncio.run(attack(chosen, int(port), made)))))
