"""Reads and writes JSON for upstreams: what is large, in processes of its own."""

from __future__ import annotations

import asyncio
import atexit
import json
import marshal
from functools import cache
from typing import TYPE_CHECKING, Any

from inference.upstreams import json_process as process
from inference.upstreams.answers import read_whole
from inference.upstreams.json_process import ANSWER, JOB, MARSHAL, dumped
from llm_manager.lib.processes.helpers import HelperFailed, HelperPool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_manager.lib.processes.helpers import Helper

#: The least bytes that are read elsewhere: less is done in two milliseconds.
MIN_BYTES = 128 * 1024
_PROCESSES = 2
#: 256 MiB of vectors take some 5 s on a slow core.
_TIMEOUT_S = 30.0


class JsonUnreadable(Exception):
    """What is no JSON, or takes more memory or time than any answer."""


async def written(value: Mapping[str, Any], *, client: str) -> bytes:
    """Return a body as JSON. ``client`` is whose jobs take turns with others'."""
    packed = marshal.dumps(["write", value], MARSHAL)
    if len(packed) < MIN_BYTES:
        return dumped(value)
    result: bytes = await _done(packed, client)
    return result


async def parsed(data: bytes, *, client: str) -> Any:
    """Return the value of JSON of ``MIN_BYTES`` or more. Raises JsonUnreadable."""
    return await _done(marshal.dumps(["parse", data], MARSHAL), client)


def parsed_here(data: bytes) -> Any:
    """Return the value of JSON of fewer bytes. Raises JsonUnreadable."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise JsonUnreadable from None


async def whole_read(
    data: bytes, api: str, n: int, public_name: str, *, client: str
) -> tuple[dict[str, Any], bytes]:
    """Return what ``read_whole`` returns. Raises JsonUnreadable."""
    arguments = [str(api), n, data, public_name]
    if len(data) >= MIN_BYTES:
        found: tuple[dict[str, Any], bytes] = await _done(
            marshal.dumps(["whole", *arguments], MARSHAL), client
        )
        return found
    try:
        return read_whole(api, n, data, public_name)
    except (ValueError, RecursionError):
        raise JsonUnreadable from None


async def _done(job: bytes, client: str) -> Any:
    """Return the result of a job in one of the processes. Raises JsonUnreadable."""

    def ask(helper: Helper) -> Any:
        pieces = (JOB.pack(len(job)), job)
        (can, *_), result = helper.ask(pieces, ANSWER, timeout_s=_TIMEOUT_S)
        if not can:
            raise JsonUnreadable
        return marshal.loads(result)  # noqa: S302  # from our own process

    try:
        return await asyncio.wrap_future(_pool().submit(client, ask))
    except HelperFailed:
        raise JsonUnreadable from None


@cache
def _pool() -> HelperPool:
    pool = HelperPool(process.__name__, processes=_PROCESSES, name="upstreams' JSON")
    atexit.register(pool.close)
    return pool
