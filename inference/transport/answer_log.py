"""The events of an answer, kept in Redis for a minute, to go on with it elsewhere.

One request at a time writes an answer's log: who has its lock, which lapses a few
seconds after its web process has died.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgpack

from inference.transport.codec import from_wire, to_wire
from inference.transport.messages.events import Frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference.transport.messages.events import Event

#: How long an answer can be gone on with after its last event.
KEPT_S = 60
#: The lock of a writer that has died lapses after this. It is renewed every second.
_LOCK_S = 3
#: How long to wait for the lock of a writer that may have died.
_WAIT_S = _LOCK_S + 1.0
_POLL_S = 0.2
#: The most bytes of an answer's events that are kept.
MAX_BYTES = 8 * 2**20
#: Stands for the digest of an answer that became longer.
_TOO_LONG = "too long"

#: Appends to the logs of sequences, if the lock is still the writer's. Each batch has
#: its place: what is written again after a break is there once.
_APPEND = """
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('expire', KEYS[1], ARGV[2])
redis.call('expire', KEYS[2], ARGV[3])
for i = 3, #KEYS do
    if redis.call('llen', KEYS[i]) == tonumber(ARGV[2 * i - 2]) then
        redis.call('rpush', KEYS[i], ARGV[2 * i - 1])
    end
    redis.call('expire', KEYS[i], ARGV[3])
end
return 1
"""
#: Gives the lock up, if it is still the writer's.
_RELEASE = """
if redis.call('get', KEYS[1]) == ARGV[1] then redis.call('del', KEYS[1]) end
"""


class AnswerInProgress(Exception):
    """Another request is being answered under this name."""


class AnswerOfOther(Exception):
    """The name belongs to an answer to something else."""


class AnswerTooLong(Exception):
    """The answer became longer than what is kept."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Events of a sequence, packed, and how many batches of it come before."""

    number: int
    place: int
    packed: bytes


@dataclass(slots=True)
class AnswerLog:
    """The log of one answer, open for writing.

    ``so_far`` has the events of each sequence that the log had when it was opened.
    """

    layer: Any
    name: str
    so_far: list[list[Event]]
    kept_s: int = KEPT_S
    _owner: str = field(default_factory=lambda: uuid.uuid4().hex)
    _pending: dict[int, list[Event]] = field(default_factory=dict)
    #: What may be in Redis or not.
    _unsure: list[_Batch] = field(default_factory=list)
    #: The number of batches of each sequence.
    _places: Counter[int] = field(default_factory=Counter)
    _bytes: int = 0
    _is_lost: bool = False

    @classmethod
    async def open(
        cls, layer: Any, name: str, *, digest: str, sequences: int, kept_s: int = KEPT_S
    ) -> AnswerLog:
        """Open the log of this name for a request with this digest.

        Waits a few seconds for a writer that may have died. Raises AnswerInProgress,
        AnswerOfOther, AnswerTooLong, OSError and redis.exceptions.RedisError.
        """
        log = cls(layer, name, [], kept_s)
        limit = time.monotonic() + _WAIT_S
        while not await log._lock():
            if time.monotonic() > limit:
                raise AnswerInProgress
            await asyncio.sleep(_POLL_S)
        try:
            await log._claim(digest)
            log.so_far = [await log._read(number) for number in range(sequences)]
        except BaseException:
            await log.close()
            raise
        return log

    def put(self, number: int, events: Sequence[Event]) -> None:
        """Keep events of a sequence for the next ``save``."""
        if events and not self._is_lost:
            self._pending.setdefault(number, []).extend(events)

    async def save(self) -> None:
        """Write the new events and renew the lock.

        Raises OSError or redis.exceptions.RedisError; the events are written next time.
        """
        if self._is_lost:
            return
        for number, events in self._pending.items():
            batch = _Batch(number, self._places[number], _pack(events))
            self._unsure.append(batch)
            self._places[number] += 1
            self._bytes += len(batch.packed)
        self._pending = {}
        if self._bytes > MAX_BYTES:
            await self._give_up()
            return
        batches = tuple(self._unsure)
        keys = [self._key(batch.number) for batch in batches]
        keys = [self._key("lock"), self._key("digest"), *keys]
        arguments = [self._owner, _LOCK_S, self.kept_s]
        arguments += [each for b in batches for each in (b.place, b.packed)]
        is_mine = await self._redis.eval(_APPEND, len(keys), *keys, *arguments)
        del self._unsure[: len(batches)]
        # After a pause of this process, another one may go on with the answer.
        self._is_lost = not is_mine

    async def close(self) -> None:
        """Give the lock up."""
        await self._redis.eval(_RELEASE, 1, self._key("lock"), self._owner)

    @property
    def _redis(self) -> Any:
        return self.layer.connection(0)

    def _key(self, part: str | int) -> str:
        return f"{self.layer.prefix}answer.{self.name}.{part}"

    async def _lock(self) -> bool:
        return bool(
            await self._redis.set(self._key("lock"), self._owner, nx=True, ex=_LOCK_S)
        )

    async def _claim(self, digest: str) -> None:
        key = self._key("digest")
        if await self._redis.set(key, digest, nx=True, ex=self.kept_s):
            return
        found = (await self._redis.get(key) or b"").decode()
        if found == _TOO_LONG:
            raise AnswerTooLong
        if found != digest:
            raise AnswerOfOther

    async def _read(self, number: int) -> list[Event]:
        batches = await self._redis.lrange(self._key(number), 0, -1)
        self._bytes += sum(map(len, batches))
        self._places[number] = len(batches)
        return [event for batch in batches for event in _unpack(batch)]

    async def _give_up(self) -> None:
        """Keep only that the answer is too long."""
        self._is_lost = True
        self._pending, self._unsure = {}, []
        await self._redis.set(self._key("digest"), _TOO_LONG, ex=self.kept_s)
        await self._redis.delete(*map(self._key, range(len(self.so_far))))


def _pack(events: Sequence[Event]) -> bytes:
    return bytes(msgpack.packb(to_wire(Frame("", "", 0, 0, tuple(events)))))


def _unpack(batch: bytes) -> tuple[Event, ...]:
    frame: Frame = from_wire(msgpack.unpackb(batch))
    return frame.events
