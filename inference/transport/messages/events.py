"""Events from a worker to a web process, in numbered frames.

There is one frame per step and web process, with a sequence number, so that a lost one
is noticed. The engine's outputs are sent as events unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from inference.engine.output import PoolingOutput, SequenceOutput


@dataclass(frozen=True, slots=True)
class Accepted:
    """A worker has taken the request, behind ``position`` pending ones.

    ``fingerprint`` is that of the model that it has loaded.
    """

    is_last: ClassVar[bool] = False

    request_id: str
    prompt_tokens: int
    position: int = 0
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Released:
    """The worker returns a request that it has not started: queue it again."""

    is_last: ClassVar[bool] = False

    request_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The worker cannot run the request; ``param`` names the field at fault, if any."""

    is_last: ClassVar[bool] = True

    request_id: str
    code: str
    message: str
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Tokenized:
    """The tokens of a text, and the bytes of each."""

    is_last: ClassVar[bool] = True

    request_id: str
    tokens: tuple[int, ...]
    pieces: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Detokenized:
    """The text of tokens."""

    is_last: ClassVar[bool] = True

    request_id: str
    text: str


Event = (
    SequenceOutput
    | PoolingOutput
    | Accepted
    | Released
    | Refused
    | Tokenized
    | Detokenized
)


@dataclass(frozen=True, slots=True)
class Frame:
    """The events of one step of a worker for one web process.

    ``control`` is the worker's channel, ``incarnation`` names its process; ``seq``
    counts frames to this web process from 1. A frame without events only carries the
    current number.
    """

    incarnation: str
    control: str
    seq: int
    events: tuple[Event, ...]
