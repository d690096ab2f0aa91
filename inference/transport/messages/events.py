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

#: The most bytes of events that a process keeps for one reader who is behind.
MAX_UNREAD_BYTES = 64 * 2**20
#: What Python takes for an event: the object, its numbers, a token and its text.
_EVENT_BYTES = 500
#: For a token's logprob, ...
_LOGPROB_BYTES = 200
#: ... and for a token of a text, with its bytes.
_TOKEN_BYTES = 80


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
    def num_bytes(self) -> int:
        """What its events take in memory, by and large."""
        return sum(map(num_bytes, self.events))


def num_bytes(event: Event) -> int:
    """Return what an event takes in memory, by and large."""
    size = _EVENT_BYTES
    match event:
        case SequenceOutput():
            size += logprob_bytes(event)
        case PoolingOutput():
            size += sum(map(len, event.vectors))
        case Tokenized():
            size += _TOKEN_BYTES * len(event.tokens)
        case Detokenized():
            size += len(event.text)
    return size


def logprob_bytes(event: SequenceOutput) -> int:
    """Return what the logprobs of an event take in memory, by and large."""
    if not (event.logprobs or event.prompt_logprobs):
        return 0
    entries = (*event.logprobs, *event.prompt_logprobs)
    return _LOGPROB_BYTES * sum(1 + len(each.top) for each in entries)


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
