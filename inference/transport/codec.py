"""Messages to what a channel layer carries, and back.

A channel layer packs a dict with msgpack, which knows numbers, text, bytes, lists and
dicts. A message becomes a dict of its fields, a dataclass within it a list of its
fields' values, a tuple a list; where several dataclasses may stand, the list begins
with the name of the one that does. How a field is written follows from its
annotation, once, when this module is imported: a new field needs no line here.
"""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Callable
from dataclasses import fields, is_dataclass
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
    Refused,
    Released,
    Tokenized,
)
from inference.transport.messages.peers import StealRequests, WorkerHeartbeat
from inference.transport.messages.requests import QueuedRequest

#: Processes of different versions do not understand each other's messages.
VERSION = 4

WireMessage = (
    QueuedRequest | Abort | Renew | Resend | Frame | WorkerHeartbeat | StealRequests
)

#: Wire names of what is sent by itself, and of what is one of several in it.
_NAMES: dict[type, str] = {
    QueuedRequest: "engine.request",
    Abort: "engine.abort",
    Renew: "engine.renew",
    Resend: "engine.resend",
    WorkerHeartbeat: "engine.heartbeat",
    StealRequests: "engine.steal",
    Frame: "engine.frame",
    GenerationRequest: "generate",
    PoolingRequest: "embed",
    TokenizationRequest: "tokenize",
    DetokenizationRequest: "detokenize",
    SequenceOutput: "sequence",
    PoolingOutput: "embedding",
    Accepted: "accepted",
    Released: "released",
    Refused: "refused",
    Tokenized: "tokenized",
    Detokenized: "detokenized",
}

_Convert = Callable[[Any], Any]


class ProtocolError(Exception):
    """A message that this version of the protocol does not have."""


class _Coder(NamedTuple):
    """How values of one type are written and read; None: as they are."""

    encode: _Convert | None = None
    decode: _Convert | None = None


def to_wire(message: WireMessage) -> dict[str, Any]:
    """Return the message as a dict of what msgpack can carry."""
    kind = type(message)
    values = _record(kind).encode(message)
    return {
        "type": _NAMES[kind],
        "v": VERSION,
        **dict(zip(_record(kind).names, values, strict=True)),
    }


def from_wire(wire: dict[str, Any]) -> Any:
    """Return the message of a dict. Raises ProtocolError."""
    kind = _MESSAGES.get(wire.get("type", ""))
    if kind is None or wire.get("v") != VERSION:
        raise ProtocolError(f"no message: {wire.get('type')!r} v{wire.get('v')!r}")
    record = _record(kind)
    try:
        return record.decode([wire[name] for name in record.names])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ProtocolError(f"broken {wire['type']}: {error!r}") from None


class _Record:
    """Writes and reads the instances of one dataclass.

    This happens for every token: most fields are carried as they are, and only the
    others cost a call.
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

    def decode(self, values: list[Any]) -> Any:
        """Return the instance of these values, a list that is the callee's."""
        for index, decode in self._decoders:
            values[index] = decode(values[index])
        return self._kind(*values)


_records: dict[type, _Record] = {}


def _record(kind: type) -> _Record:
    if kind not in _records:
        _records[kind] = _Record(kind)
    return _records[kind]


def _coder(hint: Any) -> _Coder:
    """Return how values of a type are written and read."""
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
            # msgpack takes a tuple for a list.
            None if encode is None else lambda items: [encode(each) for each in items],
            tuple if decode is None else lambda items: tuple(map(decode, items)),
        )
    if any(coder != _Coder() for coder in map(_coder, arguments)):
        raise TypeError(f"a tuple of members that are not plain: {arguments}")
    return _Coder(None, tuple)


_MESSAGES = {_NAMES[kind]: kind for kind in typing.get_args(WireMessage)}
for _kind in _NAMES:
    _record(_kind)
