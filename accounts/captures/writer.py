"""Writes captured bodies in a thread of its own: no answer waits for it or needs it."""

from __future__ import annotations

import json
import logging
import queue
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.utils import timezone

from accounts.captures.answers import joined
from accounts.captures.redaction import Redaction
from accounts.models import CapturedBody
from llm_manager.lib.quoting import storable
from llm_manager.lib.threads import with_live_connection

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger(__name__)

#: Requests that wait to be written; one more is not captured.
_MAX_WAITING = 200
_END_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Captured:
    """A request that is over: ``id`` is that of its row of usage.

    ``request`` is redacted. ``answer`` is what the client got, in pieces; of a stream
    its beginning, where ``is_cut`` is true.
    """

    id: str
    key_id: int
    request: str
    is_request_cut: bool
    answer: Sequence[bytes]
    is_stream: bool
    is_cut: bool


class CaptureWriter:
    """The thread, which starts with the first captured request."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[Captured | None] = queue.Queue(_MAX_WAITING)
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def put(self, captured: Captured) -> None:
        """Write this soon; if too many wait, it is lost and the log says so."""
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="captures", daemon=True
                )
                self._thread.start()
        try:
            self._waiting.put_nowait(captured)
        except queue.Full:
            logger.warning("The bodies of request %s are not captured", captured.id)

    def close(self) -> None:
        """Write what is there, and end; the log says if that takes too long."""
        with self._starting:
            thread, self._thread = self._thread, None
        if thread is None:
            return
        with suppress(queue.Full):
            self._waiting.put(None, timeout=_END_WITHIN_S)
            thread.join(_END_WITHIN_S)
        if thread.is_alive():
            logger.warning("The bodies of the last requests are not captured")

    def _run(self) -> None:
        while (captured := self._waiting.get()) is not None:
            try:
                with_live_connection(lambda: store(captured))
            except Exception as error:
                # Not its text: a database's has the values.
                kind = type(error).__name__
                logger.warning("Bodies of %s are not captured: %s", captured.id, kind)


def store(captured: Captured) -> None:
    """Write a row. Raises DatabaseError."""
    config = settings.CONFIG.capture
    redaction = redaction_in_force()
    answer = _answer_of(captured, redaction)
    now = timezone.now()
    CapturedBody.objects.create(
        pk=captured.id,
        key_id=captured.key_id,
        request=storable(captured.request),
        answer=storable(answer),
        is_request_cut=captured.is_request_cut,
        is_answer_cut=captured.is_cut or redaction.is_cut,
        captured_at=now,
        expires_at=now + timedelta(hours=config.retention_hours),
    )


def redaction_in_force() -> Redaction:
    """Return what redacts a body by the configuration."""
    config = settings.CONFIG.capture
    return Redaction(config.patterns, config.max_kb * 1024)


def redacted(body: Any, redaction: Redaction) -> str:
    """Return a body as text: bytes, or the value that JSON had."""
    if isinstance(body, bytes):
        try:
            body = json.loads(body)
        except (ValueError, RecursionError):
            return redaction.no_json(body.decode("utf-8", "replace"))
    return json.dumps(redaction.value(body), ensure_ascii=False, indent=2)


def _answer_of(captured: Captured, redaction: Redaction) -> str:
    if not captured.answer:
        return ""
    if captured.is_stream:
        answer = joined(captured.answer, is_cut=captured.is_cut)
        return redacted(answer, redaction)
    return redacted(b"".join(captured.answer), redaction)


#: That of this process.
capture_writer = CaptureWriter()
