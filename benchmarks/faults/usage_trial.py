"""Requests under a fault, and whether each of them has its one row of usage."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import uuid
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchmarks.faults.clients import Api
    from benchmarks.faults.fault import Fault, Place

CLIENTS = 12
#: Whole answers before the fault, and as many after its end.
ANSWERS = 12
#: How long rows may take to come.
_SETTLE_S = 90.0
#: How old the counts of a killed web process are at most: it notes them each second,
#: and an event loop may be late.
_COUNTS_AGE_S = 2.0
_PATIENCE_S = 600.0

#: WHOLE: answered, with its usage. REFUSED: with a status. LEFT: its client went away.
#: CUT: the connection broke after the status. UNSURE: it broke before, so nobody knows
#: whether the server had it.
End = Literal["whole", "refused", "left", "cut", "unsure"]


@dataclass(slots=True)
class Sent:
    """A request as its client saw it; ``pieces`` are the times of pieces of text."""

    id: str
    end: End = "unsure"
    status: int = 0
    usage: tuple[int, int] = (0, 0)
    pieces: list[float] = field(default_factory=list)
    ended_at: float = 0.0

    @property
    def least_tokens(self) -> int:
        """How many tokens its row has to have at least."""
        age_s = _COUNTS_AGE_S if self.end == "cut" else 0.0
        return sum(when <= self.ended_at - age_s for when in self.pieces)

    def fault_of(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """Return what is wrong with its rows; "" if nothing is."""
        if len(rows) > 1:
            return "double"
        if not rows:
            return "" if self.end == "unsure" else "missing"
        row = rows[0]
        counts = row["prompt_tokens"], row["completion_tokens"]
        match self.end:
            case "whole":
                is_right = row["status"] == 200 and row["completed"]
                return "" if is_right and counts == self.usage else "wrong"
            case "refused":
                return "" if row["status"] == self.status else "wrong"
            case "left" | "cut":
                return "" if counts[1] >= self.least_tokens else "wrong"
        return ""


@dataclass(frozen=True, slots=True)
class UsageResult:
    """What became of requests and rows under a fault."""

    fault: str
    ends: Counter[str]
    rows: int
    tokens: int
    faults: Counter[str]
    examples: tuple[str, ...]
    are_days_right: bool

    @property
    def is_good(self) -> bool:
        """Whether each request has its row, and days have the sums of rows."""
        return not self.faults and self.are_days_right


class UsageLoad:
    """Clients that send requests until they are stopped: some leave, some are wrong."""

    def __init__(self, api: Api, *, seed: int = 1) -> None:
        self._api = api
        self._chance = random.Random(seed)
        self._stopping = asyncio.Event()
        self._has_ended = asyncio.Condition()
        self._clients: list[asyncio.Task[None]] = []
        self.sent: list[Sent] = []

    def start(self) -> None:
        """Start the clients."""
        self._clients = [asyncio.create_task(self._client()) for _ in range(CLIENTS)]

    async def answered(self, count: int) -> None:
        """Return when so many more were answered, and some were refused and left."""
        goal = self._ends()["whole"] + count

        def is_enough() -> bool:
            ends = self._ends()
            return ends["whole"] >= goal and bool(ends["refused"] and ends["left"])

        async with asyncio.timeout(_PATIENCE_S), self._has_ended:
            await self._has_ended.wait_for(is_enough)

    def _ends(self) -> Counter[End]:
        return Counter(each.end for each in self.sent)

    async def stop(self) -> None:
        """Let each client finish its request; give up what hangs."""
        self._stopping.set()
        _, hanging = await asyncio.wait(self._clients, timeout=_PATIENCE_S)
        for task in hanging:
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _client(self) -> None:
        async with self._api.client(0) as client:
            while not self._stopping.is_set():
                sent = Sent(uuid.uuid4().hex)
                self.sent.append(sent)
                try:
                    await self._send(client, sent)
                except httpx.TransportError:
                    if sent.status:
                        sent.end = "cut"
                    await asyncio.sleep(0.2)
                sent.ended_at = asyncio.get_running_loop().time()
                async with self._has_ended:
                    self._has_ended.notify_all()

    async def _send(self, client: httpx.AsyncClient, sent: Sent) -> None:
        kind = self._chance.random()
        body: dict[str, Any] = {
            "model": "no such model" if kind < 0.1 else self._api.model,
            "prompt": f"Story {self._chance.randrange(50)}: once upon a time",
            "max_tokens": self._chance.randrange(4, 64),
            "ignore_eos": True,
            "stream": kind < 0.7,
        }
        if body["stream"]:
            body["stream_options"] = {"include_usage": True}
        leaves_after = self._chance.randrange(1, 20) if 0.1 <= kind < 0.25 else None
        headers = {"x-request-id": sent.id}
        async with client.stream(
            "POST", "/v1/completions", json=body, headers=headers
        ) as response:
            if response.status_code != 200 or not body["stream"]:
                payload = json.loads(await response.aread())
                sent.status = response.status_code
                sent.end = "refused" if sent.status != 200 else "whole"
                sent.usage = _usage(payload.get("usage"))
                return
            sent.status = 200
            async for line in response.aiter_lines():
                if line == "data: [DONE]":
                    return
                if line.startswith("data: "):
                    self._take(sent, json.loads(line.removeprefix("data: ")))
                if leaves_after is not None and len(sent.pieces) >= leaves_after:
                    sent.end = "left"
                    return
            raise httpx.ReadError("the stream ends without [DONE]")

    def _take(self, sent: Sent, chunk: Any) -> None:
        if "error" in chunk:
            # An error's event has no status: its row has some, and what was written.
            sent.end = "left"
        elif chunk.get("usage"):
            sent.end, sent.usage = "whole", _usage(chunk["usage"])
        elif any(choice["text"] for choice in chunk["choices"]):
            sent.pieces.append(asyncio.get_running_loop().time())


def _usage(usage: Any) -> tuple[int, int]:
    if not usage:
        return 0, 0
    return usage["prompt_tokens"], usage["completion_tokens"]


async def try_usage(api: Api, fault: Fault, place: Place) -> UsageResult:
    """Inflict a fault under load; return what became of requests and rows."""
    load = UsageLoad(api)
    load.start()
    await load.answered(ANSWERS)
    with fault.inflict(place):
        await asyncio.sleep(fault.seconds)
    await load.answered(ANSWERS)
    await load.stop()
    return await compare(fault.name, load.sent, place.home / "db.sqlite3")


async def load_until_killed(api: Api, fault: Fault, place: Place) -> list[Sent]:
    """Kill a whole server under load; return what its clients saw."""
    load = UsageLoad(api)
    load.start()
    await load.answered(ANSWERS)
    with fault.inflict(place):
        await asyncio.sleep(fault.seconds)
    await load.stop()
    return load.sent


async def compare(fault: str, sent: Sequence[Sent], database: Path) -> UsageResult:
    """Wait for the rows of requests, and compare."""
    expected = {each.id for each in sent if each.end != "unsure"}
    deadline = asyncio.get_running_loop().time() + _SETTLE_S
    rows = _rows(database)
    while expected - rows.keys() and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.5)
        rows = _rows(database)
    found = [(each, rows.get(each.id, [])) for each in sent]
    faults = [(each.fault_of(of), each, of) for each, of in found]
    own = [row for _, of in found for row in of]
    return UsageResult(
        fault=fault,
        ends=Counter(each.end for each in sent),
        rows=len(own),
        tokens=sum(row["completion_tokens"] for row in own),
        faults=Counter(what for what, _, _ in faults if what),
        examples=tuple(f"{what}: {each} {of}" for what, each, of in faults if what)[:3],
        are_days_right=_are_days_right(database),
    )


def _rows(database: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of all requests by the id that their client gave them."""
    by_id: dict[str, list[dict[str, Any]]] = {}
    for row in query(database, "SELECT * FROM accounts_usagerecord"):
        by_id.setdefault(row["request_id"], []).append(row)
    return by_id


#: Both at one moment.
_SUMS = """
SELECT * FROM (SELECT sum(requests), sum(failed), sum(prompt_tokens),
                      sum(cached_tokens), sum(completion_tokens) FROM accounts_usageday)
UNION ALL
SELECT * FROM (SELECT count(*), sum(failed), sum(prompt_tokens),
                      sum(cached_tokens), sum(completion_tokens)
               FROM accounts_usagerecord)
"""


def _are_days_right(database: Path) -> bool:
    """Return whether the sums of days are those of rows."""
    of_days, of_rows = query(database, _SUMS)
    return of_days == of_rows


def query(database: Path, sql: str) -> list[dict[str, Any]]:
    """Return the rows of a query on a server's database."""
    address = f"file:{database}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, timeout=30)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(sql)]
