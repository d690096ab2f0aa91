"""The messages between web processes and workers, as plain data.

Commands go to a worker, events come back in frames: one frame per worker step
and web process, with a sequence number, so that a lost one is noticed. What
crosses the channel layer is the dict of ``to_wire``; ``from_wire`` is its
inverse.

    web    --Generate-->             queue.<model>         (queue layer)
    web    --Abort, Renew, Resend--> the worker's channel  (default layer)
    worker --Frame-->                the web's channel     (default layer)
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from inference.engine.sampling_params import SamplingParams

VERSION = 1


def queue_name(model_id: int) -> str:
    """Return the channel of the requests for a model (its primary key)."""
    return f"queue.{model_id}"


@dataclass(frozen=True, slots=True)
class Generate:
    """Run one sequence.

    ``prompt`` is text, or token ids. ``special`` says whether the tokenizer
    puts the model's BOS before text (a rendered chat template has its own).
    ``resume`` are tokens that an earlier worker has already delivered: they are
    prefilled with the prompt and not sent again. ``deadline`` is in seconds
    since the epoch; ``tenant`` names the key's owner, ``key`` the key.
    """

    request_id: str
    reply_to: str
    prompt: str | list[int]
    params: SamplingParams
    deadline: float
    special: bool = True
    resume: tuple[int, ...] = ()
    tenant: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Abort:
    """Stop these requests: nobody waits for them any more."""

    request_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Renew:
    """The web process at ``reply_to`` is alive and waits for its streams."""

    reply_to: str


@dataclass(frozen=True, slots=True)
class Resend:
    """Send the frames from ``seq`` on again."""

    reply_to: str
    seq: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """A worker has taken the request; prefill begins."""

    request_id: str
    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class TokensGenerated:
    """Tokens were sampled; ``text`` is what became certain by them."""

    request_id: str
    tokens: tuple[int, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """The engine's own count of one sequence."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Finished:
    """The sequence has ended; ``text`` is the last of it.

    ``reason`` is ``stop`` or ``length``.
    """

    request_id: str
    reason: str
    text: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class Failed:
    """The request cannot be run; ``param`` names the field at fault, if one is."""

    request_id: str
    code: str
    message: str
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """What one step of a worker did for one web process.

    ``control`` is the worker's channel, ``incarnation`` its life; ``seq`` counts
    frames to this web process from 1. A frame without events only tells how far
    the count is.
    """

    incarnation: str
    control: str
    seq: int
    events: tuple[Event, ...]


Event = Accepted | TokensGenerated | Finished | Failed
Command = Abort | Renew | Resend
Message = Generate | Command | Event | Frame

_TYPES: dict[str, type] = {
    "engine.generate": Generate,
    "engine.abort": Abort,
    "engine.renew": Renew,
    "engine.resend": Resend,
    "engine.frame": Frame,
    "engine.accepted": Accepted,
    "engine.tokens": TokensGenerated,
    "engine.finished": Finished,
    "engine.failed": Failed,
}
_NAMES = {message: name for name, message in _TYPES.items()}
_FIELDS = {message: [field.name for field in fields(message)] for message in _NAMES}
_PARAMS = [field.name for field in fields(SamplingParams)]


class ProtocolError(Exception):
    """A message that no version of this protocol has."""


def to_wire(message: Message) -> dict[str, Any]:
    """Return the message as a dict of what msgpack can carry."""
    kind = type(message)
    return {
        "type": _NAMES[kind],
        "v": VERSION,
        **{name: _plain(getattr(message, name)) for name in _FIELDS[kind]},
    }


def from_wire(wire: dict[str, Any]) -> Any:
    """Return the message of a dict. Raises ProtocolError."""
    kind = _TYPES.get(wire.get("type", ""))
    if kind is None or wire.get("v") != VERSION:
        raise ProtocolError(f"no message: {wire.get('type')!r} v{wire.get('v')!r}")
    try:
        return kind(**{name: _rich(name, wire[name]) for name in _FIELDS[kind]})
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"broken {wire['type']}: {error!r}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, SamplingParams):
        return [getattr(value, name) for name in _PARAMS]
    if isinstance(value, Usage):
        return [value.prompt_tokens, value.completion_tokens, value.cached_tokens]
    if isinstance(value, tuple):
        return [_event(item) for item in value]
    return value


def _event(item: Any) -> Any:
    """Return an event as a list, type first: most of what crosses is these."""
    kind = type(item)
    if kind not in _NAMES:
        return item
    return [_NAMES[kind], *(_plain(getattr(item, name)) for name in _FIELDS[kind])]


def _rich(name: str, value: Any) -> Any:
    if name == "params":
        params = dict(zip(_PARAMS, value, strict=True))
        params["logit_bias"] = tuple(
            (token, bias) for token, bias in params["logit_bias"]
        )
        params["stop"] = tuple(params["stop"])
        return SamplingParams(**params)
    if name == "usage":
        return Usage(*value)
    if name == "events":
        return tuple(_event_of(item) for item in value)
    if name in ("resume", "request_ids", "tokens"):
        return tuple(value)
    return value


def _event_of(item: list[Any]) -> Any:
    kind = _TYPES[item[0]]
    names = _FIELDS[kind]
    return kind(**{n: _rich(n, v) for n, v in zip(names, item[1:], strict=True)})
