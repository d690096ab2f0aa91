"""Encodes messages for a channel layer and decodes them, by their annotations.

A channel layer packs a dict with msgpack, which knows numbers, text, bytes, lists and
dicts. A message becomes a dict of its fields, a nested dataclass a list of its values,
a tuple a list; in a union of dataclasses the list begins with the name of the class.
The encoding of a field follows from its annotation, once, when this module is imported:
a new field needs no code here.

Processes of different versions work together while they are replaced one by one. A new
field is the last one and has a default: a reader that does not know it leaves it out,
one that misses it takes the default. A field of a request that must not be left out has
the next version in its ``metadata``, as in ``{"needs_version": 9}``: a request with
another value than the default is marked with it, and older workers leave it to newer
ones. See docs/adr/0043-versions-side-by-side.md.
"""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from itertools import takewhile
from operator import attrgetter
from typing import Any, NamedTuple

from inference.engine.output import PoolingOutput, SequenceOutput
from inference.engine.request import (
    DetokenizationRequest,
    GenerationRequest,
    PoolingRequest,
    TokenizationRequest,
)
from inference.transport.messages.commands import Abort, Renew, Resend
from inference.transport.messages.events import (
    Accepted,
    Detokenized,
    Frame,
    LineState,
    Refused,
    Released,
    Taken,
    Tokenized,
)
from inference.transport.messages.peers import Beat, StealRequests, WorkerHeartbeat
from inference.transport.messages.requests import QueuedRequest
from inference.transport.messages.running import (
    AskRunning,
    CancelAnswer,
    CancelRequest,
    LineOfWorker,
    RunningOfWeb,
)

#: What is read here. A field that needs a version gets the next one.
VERSION = 9
#: The messages of older versions are not read. What is written here, all versions from
#: this one on can read, except for requests that need a later one.
OLDEST = 9
#: The key of a field's metadata.
_NEEDS_VERSION = "needs_version"
#: What has no fields.
_PLAIN = frozenset({str, int, float, bool, bytes, types.NoneType})

WireMessage = (
    QueuedRequest
    | Abort
    | Renew
    | Resend
    | Frame
    | LineState
    | WorkerHeartbeat
    | StealRequests
    | Beat
    | AskRunning
    | CancelRequest
    | RunningOfWeb
    | LineOfWorker
    | CancelAnswer
)

#: The names in messages: of the messages themselves, and of members of unions.
_NAMES: dict[type, str] = {
    QueuedRequest: "engine.request",
    Abort: "engine.abort",
    Renew: "engine.renew",
    Resend: "engine.resend",
    WorkerHeartbeat: "engine.heartbeat",
    StealRequests: "engine.steal",
    Beat: "engine.beat",
    AskRunning: "running.ask",
    CancelRequest: "running.cancel",
    RunningOfWeb: "running.web",
    LineOfWorker: "running.line",
    CancelAnswer: "running.cancelled",
    Frame: "engine.frame",
    LineState: "engine.line",
    GenerationRequest: "generate",
    PoolingRequest: "embed",
    TokenizationRequest: "tokenize",
    DetokenizationRequest: "detokenize",
    SequenceOutput: "sequence",
    PoolingOutput: "embedding",
    Taken: "taken",
    Accepted: "accepted",
    Released: "released",
    Refused: "refused",
    Tokenized: "tokenized",
    Detokenized: "detokenized",
}

_Convert = Callable[[Any], Any]


class ProtocolError(Exception):
    """A message that does not match this version of the protocol."""


class NewerMessage(ProtocolError):
    """A message that only later versions of the protocol can read."""


class _Coder(NamedTuple):
    """The encoder and decoder of one type; None leaves values as they are."""

    encode: _Convert | None = None
    decode: _Convert | None = None


def to_wire(message: WireMessage) -> dict[str, Any]:
    """Return the message as a dict that msgpack can pack."""
    kind = type(message)
    values = _record(kind).encode(message)
    return {
        "type": _NAMES[kind],
        "v": version_needed(message) if kind is QueuedRequest else OLDEST,
        **dict(zip(_record(kind).names, values, strict=True)),
    }


def from_wire(wire: dict[str, Any]) -> Any:
    """Return the message that a dict contains. Raises ProtocolError, NewerMessage."""
    name, version = wire.get("type", ""), wire.get("v")
    kind = _MESSAGES.get(name)
    if not isinstance(version, int) or version < OLDEST:
        raise ProtocolError(f"no message: {name!r} v{version!r}")
    if version > VERSION:
        raise NewerMessage(f"{name!r} v{version} is newer than v{VERSION}")
    if kind is None:
        raise ProtocolError(f"no message: {name!r} v{version}")
    record = _record(kind)
    try:
        return record.decode(record.known(wire))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ProtocolError(f"broken {name}: {error!r}") from None


def version_needed(value: Any) -> int:
    """Return the oldest version that can read a dataclass without a loss."""
    needed = OLDEST
    for name, default, needs in _needs(type(value)):
        member = getattr(value, name)
        if needs > needed and member != default:
            needed = needs
        if type(member) in _PLAIN:
            continue
        for each in member if isinstance(member, tuple) else (member,):
            if not is_dataclass(each):
                # The members of a tuple are alike, and there may be many.
                break
            needed = max(needed, version_needed(each))
    return needed


_needed: dict[type, tuple[tuple[str, Any, int], ...]] = {}


def _needs(kind: type) -> tuple[tuple[str, Any, int], ...]:
    """Return the fields of a dataclass: name, default, and the version they need."""
    if kind not in _needed:
        _needed[kind] = tuple(
            (each.name, each.default, each.metadata.get(_NEEDS_VERSION, OLDEST))
            for each in fields(kind)
        )
    return _needed[kind]


class _Record:
    """Encodes and decodes the instances of one dataclass.

    This happens for every token: most fields need no encoding, and only the others cost
    a call.
    """

    def __init__(self, kind: type) -> None:
        hints = typing.get_type_hints(kind)
        self.names = [field.name for field in fields(kind)]
        coders = [_coder(hints[name]) for name in self.names]
        self._kind = kind
        self._get = attrgetter(*self.names)
        self._has_many = len(self.names) > 1
        self._encoders = [(i, c.encode) for i, c in enumerate(coders) if c.encode]
        self._decoders = [(i, c.decode) for i, c in enumerate(coders) if c.decode]

    def encode(self, value: Any) -> list[Any]:
        """Return the values of the fields."""
        values: list[Any] = (
            list(self._get(value)) if self._has_many else [self._get(value)]
        )
        for index, encode in self._encoders:
            values[index] = encode(values[index])
        return values

    def known(self, wire: dict[str, Any]) -> list[Any]:
        """Return the values of the fields that a dict has, up to the first one that
        another version did not write. Raises TypeError.
        """
        return [wire[name] for name in takewhile(wire.__contains__, self.names)]

    def decode(self, values: list[Any]) -> Any:
        """Return the instance with these values; takes over the list.

        Another version may have written fewer or more.
        """
        count = len(values)
        if count != len(self.names):
            del values[len(self.names) :]
        for index, decode in self._decoders:
            if index < count:
                values[index] = decode(values[index])
        return self._kind(*values)


_records: dict[type, _Record] = {}


def _record(kind: type) -> _Record:
    if kind not in _records:
        _records[kind] = _Record(kind)
    return _records[kind]


def _coder(hint: Any) -> _Coder:
    """Return the coder of a type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return _union_coder(arguments)
    if origin is tuple:
        return _tuple_coder(arguments)
    if is_dataclass(hint) and isinstance(hint, type):
        record = _record(hint)
        return _Coder(record.encode, record.decode)
    if isinstance(hint, type) and issubclass(hint, enum.StrEnum):
        return _Coder(str, hint)
    return _Coder()


def _union_coder(members: tuple[Any, ...]) -> _Coder:
    """Return the coder of one type or None, or of several dataclasses."""
    some = [member for member in members if member is not types.NoneType]
    if len(some) == 1:
        return _optional(_coder(some[0]))
    kinds = [kind for kind in some if isinstance(kind, type) and is_dataclass(kind)]
    if not kinds:
        return _Coder()
    encoders = {kind: (_NAMES[kind], _record(kind).encode) for kind in kinds}
    decoders = {_NAMES[kind]: _record(kind).decode for kind in kinds}

    def encode(value: Any) -> list[Any]:
        name, encode_fields = encoders[type(value)]
        return [name, *encode_fields(value)]

    def decode(values: list[Any]) -> Any:
        return decoders[values[0]](values[1:])

    return _Coder(encode, decode)


def _optional(coder: _Coder) -> _Coder:
    encode, decode = coder
    if encode is None or decode is None:
        return coder
    return _Coder(
        lambda value: None if value is None else encode(value),
        lambda value: None if value is None else decode(value),
    )


def _tuple_coder(arguments: tuple[Any, ...]) -> _Coder:
    """Return the coder of a tuple of any length, or of some types in order."""
    if arguments[1:] == (Ellipsis,):
        encode, decode = _coder(arguments[0])
        return _Coder(
            # msgpack accepts a tuple as a list.
            None if encode is None else lambda items: [encode(each) for each in items],
            tuple if decode is None else lambda items: tuple(map(decode, items)),
        )
    if any(coder != _Coder() for coder in map(_coder, arguments)):
        raise TypeError(f"a tuple of members that are not plain: {arguments}")
    return _Coder(None, tuple)


_MESSAGES = {_NAMES[kind]: kind for kind in typing.get_args(WireMessage)}
for _kind in _NAMES:
    _record(_kind)
