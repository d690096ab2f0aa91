"""Events from a worker to a web process, in numbered frames.

There is one frame per step and web process, with a sequence number, so that a lost one
is noticed. The engine's outputs are sent as events unchanged. The frames from one
worker to one web process are a line. A line ends when the worker does not hear from the
web process for long: then it begins another one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from inference.engine.output import PoolingOutput, SequenceOutput


@dataclass(frozen=True, slots=True)
class Taken:
    """A worker has taken the request and prepares it, which may take a while.

    It accepts or refuses it later.
    """

    is_last: ClassVar[bool] = False

    request_id: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A worker has taken and prepared the request, which is now behind ``position``
    pending ones.

    ``fingerprint`` is that of the model that it has loaded; ``node`` and ``replica``
    say which worker it is.
    """

    is_last: ClassVar[bool] = False

    request_id: str
    prompt_tokens: int
    position: int = 0
    fingerprint: str = ""
    node: str = ""
    replica: int = 0


@dataclass(frozen=True, slots=True)
class Released:
    """The worker returns a request: queue it again, with the tokens so far."""

    is_last: ClassVar[bool] = False

    request_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The worker does not run the request, or no longer, for the reason ``code``.

    ``param`` names the field at fault, if any.
    """

    is_last: ClassVar[bool] = True

    request_id: str
    code: str
    message: str
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Tokenized:
    """The tokens of a text, and the bytes of each.

    ``num_media`` are those that images take, which have no ids.
    """

    is_last: ClassVar[bool] = True

    request_id: str
    tokens: tuple[int, ...]
    pieces: tuple[bytes, ...]
    num_media: int = 0

    @property
    def count(self) -> int:
        """How many tokens the model reads."""
        return len(self.tokens) + self.num_media


@dataclass(frozen=True, slots=True)
class Detokenized:
    """The text of tokens."""

    is_last: ClassVar[bool] = True

    request_id: str
    text: str


Event = (
    SequenceOutput
    | PoolingOutput
    | Taken
    | Accepted
    | Released
    | Refused
    | Tokenized
    | Detokenized
)


@dataclass(frozen=True, slots=True)
class Frame:
    """The events of one step of a worker for one web process.

    ``control`` is the worker's channel, ``incarnation`` names its process; ``line``
    numbers its lines, later ones higher; ``seq`` counts the frames of a line from 1.
    """

    incarnation: str
    control: str
    line: int
    seq: int
    events: tuple[Event, ...]

    @property
    def vector_bytes(self) -> int:
        """The bytes of its vectors; the rest of a frame is tiny beside them."""
        return sum(
            len(vector)
            for event in self.events
            if isinstance(event, PoolingOutput)
            for vector in event.vectors
        )


@dataclass(frozen=True, slots=True)
class LineState:
    """What a worker has for one web process, after frame ``seq`` of a line.

    The worker can send the frames from ``kept_from`` on again. ``requests`` are the
    ids of the web process's requests in this worker.
    """

    incarnation: str
    control: str
    line: int
    seq: int
    kept_from: int
    requests: tuple[str, ...]
