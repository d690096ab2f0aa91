"""What runs and waits now, of all web processes and workers, and how to end it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inference.transport.messages.running import (
    AskRunning,
    CancelAnswer,
    CancelRequest,
    LineOfWorker,
    RunningOfWeb,
    RunState,
)
from inference.transport.queue import queue_name
from inference.transport.running.questions import WEB_PROCESSES, WORKERS, ask

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from inference.engine.output import PrefillProgress
    from inference.transport.messages.running import CurrentRequest

#: However many people look, a web process asks no more often.
_ASK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Placed:
    """A request, and its place in the line of its model: 1 is next, 0 runs.

    Without a word from its worker a place is None. ``prefill`` is the share of its
    prompt that is computed or cached, None of what does not prefill.
    """

    request: CurrentRequest
    place: int | None
    prefill: float | None = None


@dataclass(slots=True)
class RunningNow:
    """All requests, the oldest first, at one moment.

    ``more`` is how many others there are, ``silent`` how many processes did not
    answer.
    """

    at: float
    requests: list[Placed] = field(default_factory=list)
    more: int = 0
    silent: int = 0


_last = RunningNow(0)


async def running_now() -> RunningNow:
    """Return what runs and waits now, at most a second old.

    Raises OSError or redis.exceptions.RedisError.
    """
    global _last
    now = time.time()
    if not 0 <= now - _last.at < _ASK_EVERY_S:
        _last = await _asked(now)
    return _last


async def cancel_running(id_: str, *, by: str) -> bool:
    """End a request, wherever it is; return whether it was there.

    Raises OSError or redis.exceptions.RedisError.
    """
    global _last
    was_there = False
    async for reply in ask(lambda place: CancelRequest(id_, by, place), WEB_PROCESSES):
        was_there |= isinstance(reply, CancelAnswer) and reply.was_here
    _last = RunningNow(0)
    return was_there


async def _asked(now: float) -> RunningNow:
    found: dict[str, CurrentRequest] = {}
    lines: list[LineOfWorker] = []
    seen = RunningNow(now)
    async for reply in ask(AskRunning, WEB_PROCESSES, WORKERS):
        if isinstance(reply, RunningOfWeb):
            found |= {request.id: request for request in reply.requests}
            seen.more += reply.more
        elif isinstance(reply, LineOfWorker):
            lines.append(reply)
        else:
            seen.silent += 1
    seen.requests = placed(found.values(), lines)
    return seen


def placed(
    requests: Iterable[CurrentRequest], lines: Iterable[LineOfWorker]
) -> list[Placed]:
    """Return the requests with their places, the oldest first.

    A worker says in which order its requests start. Those in the queue come after
    those in the workers, in the order in which they came there.
    """
    in_workers: dict[str, int] = {}
    place_of: dict[str, int] = {}
    prefills: dict[str, PrefillProgress] = {}
    for line in lines:
        prefills |= {each.request_id: each for each in line.prefills}
        in_workers[line.queue] = in_workers.get(line.queue, 0) + len(line.request_ids)
        place_of |= {id_: place for place, id_ in enumerate(line.request_ids, 1)}
    oldest_first = sorted(requests, key=lambda request: request.arrived_at)
    queued: dict[str, int] = {}
    for request in sorted(oldest_first, key=lambda request: request.queued_at):
        # A worker may have it already, without its web process having heard of that.
        is_there = any(id_ in place_of or id_ in prefills for id_ in request.waiting)
        if request.state == RunState.WAITS and not request.in_line and not is_there:
            queue = queue_name(request.model_id)
            queued[queue] = queued.get(queue, 0) + 1
            place = in_workers.get(queue, 0) + queued[queue]
            place_of |= dict.fromkeys(request.waiting, place)
    return [
        Placed(request, _place(request, place_of), _prefill(request, prefills))
        for request in oldest_first
    ]


def _place(request: CurrentRequest, place_of: dict[str, int]) -> int | None:
    if request.state != RunState.WAITS:
        return 0
    places = [place_of[id_] for id_ in request.waiting if id_ in place_of]
    return min(places, default=None)


def _prefill(
    request: CurrentRequest, prefills: Mapping[str, PrefillProgress]
) -> float | None:
    known = [prefills[id_] for id_ in request.prefilling if id_ in prefills]
    total = sum(each.total for each in known)
    if request.state != RunState.PREFILLS or not total:
        return None
    return sum(each.computed for each in known) / total
