"""A small process that unpacks and parses large bodies: `python -m` this module.

It has neither Django nor a database. What a body does to its memory or its time ends
with it; the web process has only the value, if it is of a size that a request may have.

Of each job it reads a header (the lengths of encoding and body, and the limit), the
encoding and the body; it answers with a header (kind of the answer, whether the
process ends, length) and the answer. It ends when its input does.
"""

from __future__ import annotations

import marshal
import struct
from typing import IO, Any

from inference.api.body.content_encoding import (
    MalformedEncoding,
    UnpackedTooLarge,
    unpack,
)
from inference.api.body.strict_json import MalformedJSON, parse_json
from llm_manager.lib.processes.helper_jobs import answer_jobs

#: Bytes of the encoding's name, bytes of the body, bytes that it may have unpacked.
JOB = struct.Struct(">III")
#: Kind of the answer, whether the process ends with it, bytes of it.
ANSWER = struct.Struct(">c?I")
#: The value, by marshal; or the reason, as text.
VALUE, NO_JSON, NO_ENCODING, TOO_LARGE, TOO_MANY = b"v", b"j", b"e", b"l", b"m"

#: The most values in a body. The largest that can be meant is a batch of token ids.
MAX_VALUES = 1_000_000
#: The most members of all objects together: a logit_bias for a whole vocabulary.
MAX_MEMBERS = 250_000
#: Address space: a body of 10 MiB can make values of some 50 times its size.
_MEMORY_BYTES = 2 * 1024**3
#: After a job that leaves it with more, the process ends and gives that back. It begins
#: with some 13 MiB; a body of 2 MiB stays below.
_KEPT_BYTES = 24 * 1024**2


class TooManyValues(ValueError):
    """The body is made of more pieces than any request; the sentence says of which."""


def check_values(value: Any) -> None:
    """Refuse a value of more pieces than any request has. Raises TooManyValues."""
    members = values = 0
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            members += len(each)
            waiting += [item for item in each.values() if isinstance(item, dict | list)]
        elif isinstance(each, list):
            values += len(each)
            waiting += [item for item in each if isinstance(item, dict | list)]
        if members > MAX_MEMBERS:
            raise TooManyValues(
                f"The objects of the body have more than {MAX_MEMBERS:,} members."
            )
        if values + members > MAX_VALUES:
            raise TooManyValues(f"The body has more than {MAX_VALUES:,} values.")


def answer_to(data: bytes, encoding: str, limit: int) -> tuple[bytes, bytes]:
    """Return the kind of the answer to a job, and the answer."""
    try:
        if encoding:
            data = unpack(data, encoding, limit)
        value = parse_json(data)
        check_values(value)
    except MalformedEncoding as error:
        return NO_ENCODING, str(error).encode("utf-8", "replace")
    except UnpackedTooLarge:
        return TOO_LARGE, b""
    except MalformedJSON as error:
        return NO_JSON, str(error).encode("utf-8", "replace")
    except TooManyValues as error:
        return TOO_MANY, str(error).encode()
    except MemoryError:
        return TOO_MANY, b"The body takes more memory than any request."
    try:
        return VALUE, marshal.dumps(value)
    except ValueError:
        return NO_JSON, b"it is nested too deep"


def _answer_next(
    source: IO[bytes], name_size: int, body_size: int, limit: int
) -> tuple[bytes, bytes]:
    encoding = source.read(name_size).decode("ascii")
    return answer_to(source.read(body_size), encoding, limit)


if __name__ == "__main__":
    answer_jobs(
        *(JOB, ANSWER, _answer_next), memory_bytes=_MEMORY_BYTES, kept_bytes=_KEPT_BYTES
    )
