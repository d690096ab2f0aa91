"""One fault under sixteen greedy streams, and what came of them."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.faults.clients import PATIENCE_S, Outcome, answers, follow
from benchmarks.faults.other_programs import OtherPrograms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.faults.clients import Api
    from benchmarks.faults.fault import Fault, Place

STREAMS = 16
#: Long enough to run when the fault begins, on a fast machine too.
MAX_TOKENS = 96
#: Every stream has begun, and none is near its end.
_BEGUN_PIECES = 4
#: How long to wait for the next answer.
_NEXT_LIMIT_S = 60.0
#: How soon it has to come on a quiet machine.
NEXT_WITHIN_S = 5.0
#: How long `llm-manager server --quickstart` takes from its start to its banner on two
#: quiet cores: what a restart does too, so it says how slow a machine is just now.
_QUIET_START_S = 7.0


@dataclass(frozen=True, slots=True)
class Result:
    """What clients saw of a fault: counts of streams, and seconds.

    ``right`` have the undisturbed text. ``wrong`` have another. ``refused`` ended with
    an error; ``reasons`` are their sentences. ``cut`` broke off, twice. ``hung`` have
    not ended. ``next_s`` is from the end of the fault to the next answer, and
    ``other_cores`` what other programs of the machine used from the fault until then.
    """

    fault: str
    right: int
    wrong: int
    refused: int
    cut: int
    hung: int
    next_s: float | None
    other_cores: float
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def is_good(self) -> bool:
        """Whether no stream is lost without a sentence, and the next answer came."""
        is_soon = self.next_s is not None and self.next_s <= NEXT_WITHIN_S
        return is_soon and self.wrong == self.cut == self.hung == 0


def next_within_s(start_s: float) -> float:
    """Return how soon the next answer has to come where a server starts in ``start_s``.

    A machine that is quicker than two quiet cores gets no less time.
    """
    return NEXT_WITHIN_S * max(1.0, start_s / _QUIET_START_S)


async def undisturbed(api: Api, streams: int = STREAMS) -> list[str]:
    """Return the texts of the streams without a fault."""
    outcomes = await asyncio.gather(
        *(follow(api, n, MAX_TOKENS, key=uuid.uuid4().hex) for n in range(streams))
    )
    bad = [outcome for outcome in outcomes if outcome.end != "whole"]
    if bad:
        raise SystemExit(f"An undisturbed stream ended with {bad[0]}.")
    return [outcome.text for outcome in outcomes]


async def try_fault(
    api: Api, fault: Fault, expected: Sequence[str], place: Place
) -> Result:
    """Inflict a fault on running streams; return what became of them."""
    pieces = Counter[int]()
    begun = asyncio.Event()

    def count(number: int) -> None:
        pieces[number] += 1
        if all(pieces[n] >= _BEGUN_PIECES for n in range(len(expected))):
            begun.set()

    def stream(number: int) -> asyncio.Task[Outcome]:
        return asyncio.create_task(
            follow(
                api,
                number,
                MAX_TOKENS,
                key=uuid.uuid4().hex,
                on_text=lambda: count(number),
            )
        )

    streams = [stream(number) for number in range(len(expected))]
    # A stream that ends early ends the waiting, too.
    waiting = asyncio.ensure_future(begun.wait())
    tasks: list[asyncio.Future[Any]] = [waiting, *streams]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    others = OtherPrograms()
    with fault.inflict(place):
        await asyncio.sleep(fault.seconds)
    next_s = await answers(api, _NEXT_LIMIT_S)
    other_cores = others.cores
    await asyncio.wait(streams, timeout=PATIENCE_S)
    for task in streams:
        task.cancel()
    await asyncio.gather(*streams, return_exceptions=True)
    return _result(fault, streams, expected, next_s, other_cores)


def _result(
    fault: Fault,
    streams: Sequence[asyncio.Task[Outcome]],
    expected: Sequence[str],
    next_s: float | None,
    other_cores: float,
) -> Result:
    counts = Counter[str]()
    reasons = Counter[str]()
    for task, text in zip(streams, expected, strict=True):
        if task.cancelled():
            counts["hung"] += 1
            continue
        error = task.exception()
        outcome = Outcome("cut", reason=repr(error)) if error else task.result()
        if outcome.end == "whole":
            counts["right" if outcome.text == text else "wrong"] += 1
        else:
            counts[outcome.end] += 1
            reasons[outcome.reason] += 1
    return Result(
        fault=fault.name,
        right=counts["right"],
        wrong=counts["wrong"],
        refused=counts["error"],
        cut=counts["cut"],
        hung=counts["hung"],
        next_s=next_s,
        other_cores=other_cores,
        reasons=reasons,
    )
