"""Writes responses in the background, so that they survive clients and processes.

A web process claims a row for some seconds and renews that while it writes. The row of
a process that has died is claimed by another one, which goes on from the engine's
events that the first one kept in Redis: a response is a function of these, so its
events get the same numbers again, and those that clients may have are not written
twice.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from django.db import DatabaseError
from django.db.models import F, Max, Q

from accounts.models import StoredEvents, StoredResponse
from inference.api.own_request import OwnRequest
from inference.api.responses_api.store import rows
from inference.api.responses_api.store.following import blocks_of
from inference.api.streaming import sse
from llm_manager.lib.clocks.database_clock import database_now
from llm_manager.lib.clocks.growing_pause import GrowingPause
from llm_manager.lib.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

logger = logging.getLogger(__name__)

#: How long a claim lasts, and how often it is renewed.
_CLAIM = timedelta(seconds=6)
_BEAT_S = 1.0
_RESCUE_EVERY_S = 2.0
#: The same while there is nothing to rescue and nothing is written here.
_RESCUE_AT_LEAST_EVERY_S = 10.0
#: How often new events become visible.
_FLUSH_EVERY_S = 0.3
#: Statuses after which a response that was rescued is tried again, and how much later.
LATER = (429, 503)
_AGAIN_AFTER = timedelta(seconds=30)
_PATH = "/v1/responses"


class WritingView(Protocol):
    """The view that answers a row."""

    async def dispatch(self, request: HttpRequest, /) -> Any:
        """Answer the request."""

    #: Whether it goes on from what an earlier one had of the engine.
    resumes: bool

    async def save_events(self) -> None:
        """Write the engine's events so far to where others can go on with them."""


class Inheritance(Protocol):
    """What the request of the client has, for the view that writes its response."""

    def to(self, view: WritingView) -> None:
        """Give it to the view."""

    def give_back(self) -> None:
        """Give it back: nobody writes the response here."""


class BackgroundWriter:
    """Writes the responses that this process has claimed.

    ``make_view`` makes the view that answers a row.
    """

    def __init__(self, make_view: Callable[[StoredResponse], WritingView]) -> None:
        self._make_view = make_view
        self._name = uuid.uuid4().hex
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def claim(self) -> dict[str, Any]:
        """Return the fields of a new row that this process begins to write at once."""
        return {"claimed_by": self._name, "claimed_until": database_now() + _CLAIM}

    def start(self, id_: str, inherited: Inheritance | None = None) -> None:
        """Begin to write a response, unless it is being written here.

        ``inherited`` is what the request of the client has taken.
        """
        if id_ in self._tasks:
            if inherited is not None:
                inherited.give_back()
            return
        task = asyncio.get_running_loop().create_task(self._write(id_, inherited))
        self._tasks[id_] = task
        task.add_done_callback(lambda _: self._tasks.pop(id_, None))

    async def rescue_forever(self) -> None:
        """Claim what nobody writes any more, until cancelled."""
        pause = GrowingPause(_RESCUE_EVERY_S, _RESCUE_AT_LEAST_EVERY_S)
        while True:
            await asyncio.sleep(pause.seconds)
            try:
                abandoned = await in_thread(_abandoned)
                pause.after(found=bool(abandoned or self._tasks))
                for id_ in abandoned:
                    self.start(id_)
            except DatabaseError as error:
                logger.warning("No response can be rescued now: %s", error)

    async def _write(self, id_: str, inherited: Inheritance | None = None) -> None:
        row = None
        try:
            row = await in_thread(_claim, id_, self._name)
        except DatabaseError as error:
            logger.warning("The response %s cannot be claimed now: %s", id_, error)
        finally:
            if row is None and inherited is not None:
                inherited.give_back()
        if row is None:
            return
        view = self._make_view(row)
        if inherited is not None:
            inherited.to(view)
        writing = asyncio.current_task()
        beating = asyncio.get_running_loop().create_task(
            self._beat(id_, writing.cancel if writing else lambda: None)
        )
        again_after = timedelta(0)
        try:
            if not await self._answer(row, view, is_rescued=inherited is None):
                again_after = _AGAIN_AFTER
        except asyncio.CancelledError:
            logger.info("The response %s is not written here any more", id_)
        except Exception:
            logger.exception("The response %s could not be written", id_)
            await in_thread(fail, id_, "server_error", "The server made an error.")
        finally:
            beating.cancel()
            await in_thread(_release, id_, self._name, again_after)

    async def _answer(
        self, row: StoredResponse, view: WritingView, *, is_rescued: bool
    ) -> bool:
        """Write a response to its end; False if it has to be tried again later."""
        response: Any = await view.dispatch(
            OwnRequest(_PATH, client_address=row.client_address, idempotency_key=row.pk)
        )
        if not response.streaming:
            if is_rescued and response.status_code in LATER:
                return False
            error = json.loads(response.content)["error"]
            code = "rate_limit_exceeded" if response.status_code == 429 else None
            code = code or ("server_error" if response.status_code >= 500 else None)
            await in_thread(
                fail, row.pk, code or "invalid_prompt", str(error["message"])
            )
            return True
        sink: EventSink | None = None
        async with aclosing(aiter(response)) as pieces:
            async for piece in pieces:
                if sink is None:
                    # Not before: a stream that is begun gives up what it runs.
                    sink = await in_thread(EventSink, row.pk, resumes=view.resumes)
                if sink.take(piece):
                    await view.save_events()
                    await in_thread(sink.flush)
        return True

    async def _beat(self, id_: str, stop: Callable[[], object]) -> None:
        """Renew the claim; stop the writing once the response is somebody else's."""
        while True:
            await asyncio.sleep(_BEAT_S)
            try:
                if not await in_thread(_renew, id_, self._name):
                    stop()
                    return
            except DatabaseError as error:
                logger.warning("The claim of %s cannot be renewed now: %s", id_, error)


class EventSink:
    """Keeps the events of one response; those that it has already are dropped.

    Without ``resumes`` the answer begins again: its events are numbered on.
    """

    def __init__(self, id_: str, *, resumes: bool) -> None:
        kept = StoredEvents.objects.filter(response_id=id_)
        self._last = kept.aggregate(last=Max("last"))["last"]
        self._offset = 0 if resumes or self._last is None else self._last + 1
        self._id = id_
        self._blocks: list[tuple[int, bytes]] = []
        self._failure: dict[str, Any] | None = None
        self._flushed_at = 0.0

    def take(self, piece: bytes) -> bool:
        """Take a piece of a stream; return whether it is time to flush."""
        is_end = False
        for number, block, is_last in blocks_of(piece.decode()):
            event = json.loads(block.partition(b"\ndata: ")[2])
            if self._offset:
                event["sequence_number"] += self._offset
                self._blocks.append((event["sequence_number"], sse.named(event)))
            elif self._last is None or number > self._last:
                self._blocks.append((number, block))
            is_end |= is_last
            if event["type"] == "response.failed":
                self._failure = event["response"]
        is_time = time.monotonic() > self._flushed_at + _FLUSH_EVERY_S
        return is_end or (is_time and bool(self._blocks))

    def flush(self) -> None:
        """Write what was taken; a failure ends the response."""
        self._flushed_at = time.monotonic()
        if self._failure is not None:
            rows.response_finish(self._id, self._failure)
        blocks, self._blocks = self._blocks, []
        if not blocks:
            return
        text = b"".join(block for _, block in blocks)
        StoredEvents.objects.create(
            response_id=self._id,
            first=blocks[0][0],
            last=blocks[-1][0],
            text=text.decode(),
        )
        self._last = blocks[-1][0]
        StoredResponse.objects.filter(pk=self._id).update(size=F("size") + len(text))


def fail(id_: str, code: str, message: str) -> None:
    """End a response with an error, unless it has ended."""
    row = StoredResponse.objects.filter(pk=id_).first()
    if row is None:
        return
    error = {"code": code, "message": message}
    rows.response_finish(id_, {**row.response, "status": "failed", "error": error})


def cancel(row: StoredResponse) -> dict[str, Any]:
    """End a response that is being written; return it. Who writes it will notice."""
    cancelled = {**row.response, "status": StoredResponse.CANCELLED}
    rows.response_finish(row.pk, cancelled)
    row.refresh_from_db()
    response: dict[str, Any] = row.response
    return response


def _unfinished() -> Any:
    return StoredResponse.objects.filter(
        is_background=True, status__in=StoredResponse.UNFINISHED
    )


def _abandoned() -> list[str]:
    late = Q(claimed_until=None) | Q(claimed_until__lt=database_now())
    # Those that were tried last come last: some may have to wait for a long time.
    oldest = (
        _unfinished().filter(late).order_by(F("claimed_until").asc(nulls_first=True))
    )
    return list(oldest.values_list("pk", flat=True)[:16])


def _claim(id_: str, name: str) -> StoredResponse | None:
    """Claim a response; None if somebody else writes it, or nobody need to."""
    now = database_now()
    is_free = Q(claimed_until=None) | Q(claimed_until__lt=now) | Q(claimed_by=name)
    claimed = (
        _unfinished()
        .filter(is_free, pk=id_)
        .update(
            claimed_by=name,
            claimed_until=now + _CLAIM,
            status=StoredResponse.IN_PROGRESS,
        )
    )
    return StoredResponse.objects.get(pk=id_) if claimed else None


def _renew(id_: str, name: str) -> bool:
    mine = _unfinished().filter(pk=id_, claimed_by=name)
    return bool(mine.update(claimed_until=database_now() + _CLAIM))


def _release(id_: str, name: str, again_after: timedelta = timedelta(0)) -> None:
    """Give a claim up; nobody takes it before that time has passed."""
    StoredResponse.objects.filter(pk=id_, claimed_by=name).update(
        claimed_until=database_now() + again_after, claimed_by=""
    )
