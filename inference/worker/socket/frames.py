"""Messages on a socket between a worker and the process that has started it.

Each is four bytes of length, then the message as the codec packs it.
"""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Any

import msgpack

from inference.transport.codec import from_wire, to_wire

if TYPE_CHECKING:
    from inference.transport.codec import WireMessage

_LENGTH = struct.Struct("!I")


def packed(message: WireMessage) -> bytes:
    """Return a message as bytes for the socket."""
    data: bytes = msgpack.packb(to_wire(message))
    return _LENGTH.pack(len(data)) + data


async def read_message(reader: asyncio.StreamReader) -> Any:
    """Return the next message, None at the end. Raises ProtocolError."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        data = await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return from_wire(msgpack.unpackb(data, use_list=True, strict_map_key=False))
