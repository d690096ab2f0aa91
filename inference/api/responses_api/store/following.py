"""The events of a response that is written in the background, for who looks at it."""

from __future__ import annotations

import json
import time
from asyncio import sleep
from typing import TYPE_CHECKING, Any

from accounts.models import StoredEvents, StoredResponse
from inference.api.streaming import sse
from inference.api.streaming.collecting import KEEP_ALIVE_S
from llm_manager.lib.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_POLL_S = 0.2
#: How long the last events may come after the row says that the response has ended.
_PATIENCE_S = 3.0
#: The types of last events, by the status of the response.
_LAST = {"completed", "failed", "incomplete", "cancelled"}


async def follow(id_: str, after: int) -> AsyncIterator[bytes]:
    """Yield the events with sequence numbers above ``after``, to the last one."""
    spoke_at = time.monotonic()
    ended_at: float | None = None
    while True:
        blocks, status = await in_thread(_read, id_, after)
        for number, block, is_last in blocks:
            after = number
            yield block
            if is_last:
                return
        if blocks:
            spoke_at = time.monotonic()
        if status not in StoredResponse.UNFINISHED:
            ended_at = ended_at or time.monotonic()
            is_cancelled = status == StoredResponse.CANCELLED
            if is_cancelled or time.monotonic() > ended_at + _PATIENCE_S:
                yield await in_thread(_last_event, id_, after + 1)
                return
        elif time.monotonic() > spoke_at + KEEP_ALIVE_S:
            spoke_at = time.monotonic()
            yield sse.KEEP_ALIVE
        await sleep(_POLL_S)


def _read(id_: str, after: int) -> tuple[list[tuple[int, bytes, bool]], str]:
    """Return new events, and the status of the response: it is asked first."""
    status = StoredResponse.objects.filter(pk=id_).values_list("status", flat=True)
    found = status.first() or StoredResponse.CANCELLED
    texts = StoredEvents.objects.filter(response_id=id_, last__gt=after)
    blocks = [
        block
        for text in texts.values_list("text", flat=True)
        for block in blocks_of(text)
        if block[0] > after
    ]
    return blocks, found


def blocks_of(text: str) -> list[tuple[int, bytes, bool]]:
    """Return each event of a text: its number, itself, and whether it is the last."""
    found = []
    for block in text.split("\n\n"):
        if not block or block.startswith(":"):
            continue
        event = json.loads(block.partition("\ndata: ")[2])
        kind = event["type"].removeprefix("response.")
        is_last = kind in _LAST
        found.append((event["sequence_number"], f"{block}\n\n".encode(), is_last))
    return found


def _last_event(id_: str, number: int) -> bytes:
    """Return the end of a response whose own last event nobody wrote."""
    row = StoredResponse.objects.filter(pk=id_).first()
    response: dict[str, Any] = {} if row is None else row.response
    # OpenAI has no event for a response that was cancelled.
    status = response.get("status", "failed")
    kind = "incomplete" if status == StoredResponse.CANCELLED else status
    return sse.named(
        {
            "type": f"response.{kind}",
            "sequence_number": number,
            "response": response,
        }
    )
