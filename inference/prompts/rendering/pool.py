"""The processes that render templates, shared by the threads of this process."""

from __future__ import annotations

import atexit
import functools
import os
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inference.errors import EngineUnavailable
from inference.prompts.rendering.errors import ChatTemplateError, ChatTemplateStopped
from inference.prompts.rendering.limits import CPU_SECONDS
from inference.prompts.rendering.render_process import (
    RenderProcess,
    RenderProcessEnded,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: At least two, so that one template never has all of them.
_NUM_PROCESSES = max(2, min(4, (os.cpu_count() or 1) // 2))
#: A template that was ended so often within the time is refused until it has passed.
_MAX_ENDED = 2
_FORGIVEN_AFTER_S = 60.0
#: How long a thread waits for a process before its request is refused.
_MAX_WAIT_S = 10.0
_RETRY_AFTER_S = 5


@dataclass(slots=True)
class _Offence:
    """How often a template had to be ended, and when last, on the monotonic clock."""

    count: int
    at: float


class RenderPool:
    """Renders templates, each in one of a few processes.

    Processes are started when they are needed and stay. One template has at most all
    but one of them, so that others are always rendered.
    """

    def __init__(
        self,
        size: int = _NUM_PROCESSES,
        *,
        start: Callable[[], RenderProcess] = RenderProcess,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``size`` is the number of processes, at least 2."""
        self._size = size
        self._start = start
        self._clock = clock
        self._changed = threading.Condition()
        self._idle: list[RenderProcess] = []
        self._busy: Counter[str] = Counter()
        self._offences: dict[str, _Offence] = {}
        self._is_closed = False

    def variables(self, source: str) -> frozenset[str]:
        """Return the variables that a template reads. Raises what ``render`` does."""
        return frozenset(self._ask({"source": source})["variables"])

    def render(self, source: str, context: dict[str, Any], max_chars: int) -> str:
        """Return the text of a template, of ``max_chars`` at most.

        Raises ChatTemplateError, ChatTemplateStopped, or EngineUnavailable if no
        process is free in time or one ends twice for no fault of the template.
        """
        job = {"source": source, "context": context, "max_chars": max_chars}
        return str(self._ask(job)["text"])

    def warm_up(self) -> None:
        """Start the processes, so that the first requests need not wait for them."""
        with self._changed:
            while len(self._idle) + self._busy.total() < self._size:
                self._idle.append(self._start())

    def close(self) -> None:
        """End the idle processes; the others end after their job."""
        with self._changed:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for process in idle:
            process.close()

    def _ask(self, job: dict[str, Any]) -> dict[str, Any]:
        source = job["source"]
        for _ in range(2):
            with self._borrowed(source) as process:
                try:
                    answer = process.ask(job)
                except RenderProcessEnded as ended:
                    if ended.is_limit:
                        self._offend(source)
                        raise _stopped() from None
                    # Killed from outside, or the machine was paused: once more.
                    continue
            if "failure" in answer:
                raise ChatTemplateError(answer["failure"])
            return answer
        raise EngineUnavailable(
            "The processes that render chat templates end unexpectedly.",
            retry_after=_RETRY_AFTER_S,
        )

    @contextmanager
    def _borrowed(self, source: str) -> Iterator[RenderProcess]:
        """Lend a process to a template; one that an exception comes from is ended."""
        process = self._take(source)
        is_usable = False
        try:
            yield process
            is_usable = process.is_alive
        finally:
            with self._changed:
                self._busy[source] -= 1
                if not self._busy[source]:
                    del self._busy[source]
                is_kept = is_usable and not self._is_closed
                if is_kept:
                    self._idle.append(process)
                self._changed.notify_all()
            if not is_kept:
                process.close()

    def _take(self, source: str) -> RenderProcess:
        give_up_at = self._clock() + _MAX_WAIT_S
        with self._changed:
            while True:
                self._check(source)
                is_free = bool(self._idle) or self._busy.total() < self._size
                if is_free and self._busy[source] < self._limit(source):
                    self._busy[source] += 1
                    if self._idle:
                        return self._idle.pop()
                    break
                left = give_up_at - self._clock()
                if left <= 0:
                    raise EngineUnavailable(
                        "Too many chat templates are being rendered.",
                        retry_after=_RETRY_AFTER_S,
                    )
                self._changed.wait(left)
        try:
            return self._start()
        except OSError as error:
            with self._changed:
                self._busy[source] -= 1
                self._changed.notify_all()
            raise EngineUnavailable(
                "No process that renders chat templates can be started: "
                f"{error.strerror}.",
                retry_after=_RETRY_AFTER_S,
            ) from None

    def _limit(self, source: str) -> int:
        """Return how many processes a template may have at once."""
        return 1 if source in self._offences else self._size - 1

    def _check(self, source: str) -> None:
        """Raise ChatTemplateStopped if the template is refused, or tried again now."""
        offence = self._offences.get(source)
        if offence is None:
            return
        if self._clock() - offence.at > _FORGIVEN_AFTER_S:
            del self._offences[source]
        elif offence.count >= _MAX_ENDED or self._busy[source]:
            # Nobody waits for a template that has shown what it is.
            raise _stopped()

    def _offend(self, source: str) -> None:
        now = self._clock()
        with self._changed:
            # An administrator may try many templates in the preview.
            for other, known in list(self._offences.items()):
                if now - known.at > _FORGIVEN_AFTER_S:
                    del self._offences[other]
            offence = self._offences.setdefault(source, _Offence(0, now))
            offence.count += 1
            offence.at = now
            self._changed.notify_all()


def _stopped() -> ChatTemplateStopped:
    return ChatTemplateStopped(
        "The model's chat template failed: it takes more than "
        f"{CPU_SECONDS:g} s of the processor. For a minute after such a failure it is "
        "not tried often."
    )


@functools.cache
def render_pool() -> RenderPool:
    """Return this process's pool."""
    pool = RenderPool()
    atexit.register(pool.close)
    return pool
