"""Mixed requests for long, with kills: rows of usage beside workers' own counters."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.faults.usage_trial import UsageLoad, compare, query

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.faults.clients import Api
    from benchmarks.faults.fault import Fault, Place
    from benchmarks.faults.usage_trial import Sent, UsageResult

#: Workers report every second or so; what a step more computes comes after the end.
_COUNTERS_SETTLE_S = 20.0
_COUNTERS = """
SELECT sum(requests_total) AS requests, sum(prompt_tokens_total) AS prompt,
       sum(output_tokens_total) AS output FROM inference_worker
"""
_ROWS = """
SELECT count(*) AS requests, sum(prompt_tokens) AS prompt,
       sum(completion_tokens) AS output
FROM accounts_usagerecord WHERE prompt_tokens > 0
"""


@dataclass(frozen=True, slots=True)
class Sums:
    """Requests that reached a worker, and their tokens."""

    requests: int
    prompt: int
    output: int


@dataclass(frozen=True, slots=True)
class LongRun:
    """What rows and workers have counted in the end.

    ``at_kills`` is what the requests have in their rows that ran at a kill: a counter
    that dies with its process, and a request that goes on elsewhere, differ by no more.
    ``left`` is how many clients left: each may cost a step that is in no frame.
    """

    result: UsageResult
    kills: int
    rows: Sums
    workers: Sums
    at_kills: Sums
    left: int

    @property
    def is_good(self) -> bool:
        """Whether rows are right, and differ from counters only by what kills explain.

        A step decides on up to 16 tokens of a sequence, with its drafts.
        """
        slack = self.left * 16
        return (
            self.result.is_good
            and abs(self.rows.prompt - self.workers.prompt) <= self.at_kills.prompt
            and abs(self.rows.output - self.workers.output)
            <= self.at_kills.output + slack
        )


async def run_long(
    api: Api, place: Place, faults: Sequence[Fault], *, minutes: float, every_s: float
) -> LongRun:
    """Load a server for so long, with one of the faults after each ``every_s``."""
    database = place.home / "db.sqlite3"
    # The request that loaded the model.
    before = _sums(database, _ROWS)
    load = UsageLoad(api)
    load.start()
    end = asyncio.get_running_loop().time() + minutes * 60
    at_kills: set[str] = set()
    kills = 0
    for fault in itertools.cycle(faults):
        left_s = end - asyncio.get_running_loop().time()
        await asyncio.sleep(max(min(every_s, left_s), 0))
        if left_s <= every_s:
            break
        at_kills |= {each.id for each in load.sent if not each.ended_at}
        with fault.inflict(place):
            await asyncio.sleep(fault.seconds)
        # Also those that came before it was over.
        at_kills |= {each.id for each in load.sent if not each.ended_at}
        kills += 1
    await load.stop()
    result = await compare(f"{kills} kills in {minutes:g} minutes", load.sent, database)
    await asyncio.sleep(_COUNTERS_SETTLE_S)
    rows = _sums(database, _ROWS)
    return LongRun(
        result=result,
        kills=kills,
        rows=rows,
        workers=_sums(database, _COUNTERS),
        at_kills=_sums_of(database, load.sent, at_kills, before),
        left=result.ends["left"],
    )


def _sums(database: Path, sql: str) -> Sums:
    (row,) = query(database, sql)
    return Sums(row["requests"] or 0, row["prompt"] or 0, row["output"] or 0)


def _sums_of(database: Path, sent: Sequence[Sent], ids: set[str], before: Sums) -> Sums:
    """Return what the rows of these requests have, and those before the load."""
    rows = query(
        database,
        "SELECT request_id, prompt_tokens, completion_tokens FROM accounts_usagerecord",
    )
    own = {each.id for each in sent} & ids
    found = [row for row in rows if row["request_id"] in own]
    return Sums(
        before.requests + len(found),
        before.prompt + sum(row["prompt_tokens"] for row in found),
        before.output + sum(row["completion_tokens"] for row in found),
    )
