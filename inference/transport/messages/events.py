"""The messages between web processes and workers, as plain data.

Commands go to a worker, events come back in frames: one frame per worker step
and web process, with a sequence number, so that a lost one is noticed. What
crosses the channel layer is the dict of ``to_wire``; ``from_wire`` is its
inverse.

    web    --Generate, Embed,
             Tokenize, Detokenize--> queue.<model>             (queue layer)
    web    --Abort, Renew, Resend--> the worker's channel      (default layer)
    worker --Frame-->                the web's channel         (default layer)
    worker --Present-->              the group queue.<model>   (default layer)
    worker --Hungry-->               another worker's channel  (default layer)
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING, Any

from inference.engine.sampling.logprobs import TokenLogprob, TokenLogprobs
from inference.engine.sampling.params import SamplingParams
from inference.engine.sampling.thinking_budget import ThinkingBudget
from inference.engine.structured_output.grammar import Grammar

if TYPE_CHECKING:
    from inference.engine.adapters import Adapters

VERSION = 3


def queue_name(model_id: int) -> str:
    """Return the channel of the requests for a model (its primary key).

    The model's workers are a group of the same name.
    """
    return f"queue.{model_id}"


@dataclass(frozen=True, slots=True)
class Generate:
    """Run one sequence.

    ``prompt`` is text, or token ids; the answer comes between it and ``suffix``, if
    there is one. ``special`` says whether the tokenizer
    puts the model's BOS before text (a rendered chat template has its own).
    ``resume`` are tokens that an earlier worker has already delivered: they are
    prefilled with the prompt and not sent again. ``prediction`` is text that the
    answer may be: where it is, it comes faster. ``adapters`` are what it runs under.
    ``deadline`` is in seconds
    since the epoch; ``tenant`` names the key's owner, ``key`` the key, which
    weighs ``weight``; of one key's requests a lower ``priority`` starts earlier.
    """

    request_id: str
    reply_to: str
    prompt: str | list[int]
    params: SamplingParams
    deadline: float
    special: bool = True
    suffix: str = ""
    resume: tuple[int, ...] = ()
    prediction: str = ""
    adapters: Adapters = ()
    tenant: str = ""
    key: str = ""
    weight: float = 1.0
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Embed:
    """Make a vector of each text or, with a ``query``, score each one for it.

    ``inputs`` are texts, or token ids; ``paths`` is what the request calls each of
    them. The rest is as in Generate.
    """

    request_id: str
    reply_to: str
    inputs: tuple[str | list[int], ...]
    paths: tuple[str, ...]
    deadline: float
    query: str | None = None
    key: str = ""
    weight: float = 1.0
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Tokenize:
    """Say which tokens a text is made of.

    ``special`` puts those around it that the model wants, ``parse_special`` takes
    special tokens that the text spells out for those.
    """

    request_id: str
    reply_to: str
    text: str
    deadline: float
    special: bool = False
    parse_special: bool = True


@dataclass(frozen=True, slots=True)
class Detokenize:
    """Say which text tokens stand for; ``path`` is what the request calls them."""

    request_id: str
    reply_to: str
    tokens: tuple[int, ...]
    path: str
    deadline: float


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
class Present:
    """A worker serves at ``control``; ``surplus`` requests there cannot start yet."""

    control: str
    surplus: int


@dataclass(frozen=True, slots=True)
class Hungry:
    """Another worker of the model could start so many requests at once."""

    room: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """A worker has taken the request, behind ``position`` others that wait."""

    request_id: str
    prompt_tokens: int
    position: int = 0


@dataclass(frozen=True, slots=True)
class Started:
    """The sequence has got a slot; ``cached_tokens`` of its prompt were there."""

    request_id: str
    cached_tokens: int


@dataclass(frozen=True, slots=True)
class Released:
    """The worker hands a request back that it has not started: queue it again."""

    request_id: str


@dataclass(frozen=True, slots=True)
class PromptScored:
    """How likely the prompt's tokens were, all of them, where that is asked for.

    The first has nothing before it; its probability is told as 1. A worker that
    takes a sequence over tells them again.
    """

    request_id: str
    logprobs: tuple[TokenLogprobs, ...]


@dataclass(frozen=True, slots=True)
class TokensGenerated:
    """Tokens were sampled; ``text`` is what became certain by them.

    ``logprobs`` has one entry for each token, or none unless it is asked for.
    """

    request_id: str
    tokens: tuple[int, ...]
    text: str
    logprobs: tuple[TokenLogprobs, ...] = ()


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vectors of all inputs, in their order: float32, little-endian.

    Those that rank have one number, the score.
    """

    request_id: str
    vectors: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Tokenized:
    """The tokens of a text, and the bytes that each stands for."""

    request_id: str
    tokens: tuple[int, ...]
    pieces: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Detokenized:
    """The text of tokens."""

    request_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """The engine's own count of one sequence.

    ``accepted`` and ``rejected`` are tokens that were guessed, rightly or not.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    accepted: int = 0
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class Finished:
    """The request has ended; ``text`` is the last of its answer.

    ``reason`` is ``stop`` or ``length``. ``logprobs`` are those of the last tokens.
    """

    request_id: str
    reason: str
    text: str
    usage: Usage
    logprobs: tuple[TokenLogprobs, ...] = ()


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


Request = Generate | Embed | Tokenize | Detokenize
Event = (
    Accepted
    | Started
    | Released
    | PromptScored
    | TokensGenerated
    | Embedded
    | Tokenized
    | Detokenized
    | Finished
    | Failed
)
Command = Abort | Renew | Resend | Present | Hungry
Message = Request | Command | Event | Frame

_TYPES: dict[str, type] = {
    "engine.generate": Generate,
    "engine.embed": Embed,
    "engine.tokenize": Tokenize,
    "engine.detokenize": Detokenize,
    "engine.abort": Abort,
    "engine.renew": Renew,
    "engine.resend": Resend,
    "engine.present": Present,
    "engine.hungry": Hungry,
    "engine.frame": Frame,
    "engine.accepted": Accepted,
    "engine.started": Started,
    "engine.released": Released,
    "engine.prompt": PromptScored,
    "engine.tokens": TokensGenerated,
    "engine.embedded": Embedded,
    "engine.tokenized": Tokenized,
    "engine.detokenized": Detokenized,
    "engine.finished": Finished,
    "engine.failed": Failed,
}
_NAMES = {message: name for name, message in _TYPES.items()}
_FIELDS = {message: [field.name for field in fields(message)] for message in _NAMES}
_PARAMS = [field.name for field in fields(SamplingParams)]
_USAGE = [field.name for field in fields(Usage)]
#: Fields that are tuples of what msgpack carries as it is.
_TUPLES = frozenset(
    {"inputs", "paths", "pieces", "request_ids", "resume", "tokens", "vectors"}
)


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
        return [_plain(getattr(value, name)) for name in _PARAMS]
    if isinstance(value, Grammar):
        return [value.source, value.param, value.control_tokens]
    if isinstance(value, ThinkingBudget):
        return list(astuple(value))
    if isinstance(value, Usage):
        return [getattr(value, name) for name in _USAGE]
    if isinstance(value, tuple):
        return [_event(item) for item in value]
    return value


def _event(item: Any) -> Any:
    """Return an event as a list, type first: most of what crosses is these."""
    kind = type(item)
    if kind is TokenLogprobs:
        return [_logprob(item.chosen), [_logprob(each) for each in item.top]]
    if kind not in _NAMES:
        return item
    return [_NAMES[kind], *(_plain(getattr(item, name)) for name in _FIELDS[kind])]


def _logprob(item: TokenLogprob) -> list[Any]:
    return [item.token, item.piece, item.logprob]


def _rich(name: str, value: Any) -> Any:
    if name == "params":
        params = {n: _tuples(v) for n, v in zip(_PARAMS, value, strict=True)}
        if params["grammar"] is not None:
            params["grammar"] = Grammar(*params["grammar"])
        if params["thinking"] is not None:
            params["thinking"] = ThinkingBudget(*params["thinking"])
        return SamplingParams(**params)
    if name == "usage":
        return Usage(*value)
    if name == "events":
        return tuple(_event_of(item) for item in value)
    if name == "logprobs":
        return tuple(
            TokenLogprobs(
                TokenLogprob(*chosen), tuple(TokenLogprob(*each) for each in top)
            )
            for chosen, top in value
        )
    if name == "adapters":
        return _tuples(value)
    if name in _TUPLES:
        return tuple(value)
    return value


def _tuples(value: Any) -> Any:
    """Return the value with its lists, which msgpack makes of tuples, as tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _event_of(item: list[Any]) -> Any:
    kind = _TYPES[item[0]]
    names = _FIELDS[kind]
    return kind(**{n: _rich(n, v) for n, v in zip(names, item[1:], strict=True)})
