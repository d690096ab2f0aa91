"""Database work beside an event loop: in a thread, on a connection that lives."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import close_old_connections

if TYPE_CHECKING:
    from collections.abc import Callable

_P = ParamSpec("_P")
_T = TypeVar("_T")


async def in_thread(
    function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
) -> _T:
    """Run synchronous code in a thread of the event loop's pool.

    Not in the request's own thread, as Django's ``thread_sensitive`` would: that
    one is new for every request, and so would be its database connection.
    """
    call = functools.partial(function, *args, **kwargs)
    return await asyncio.to_thread(_with_live_connection, call)


async def in_one_thread(
    function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
) -> _T:
    """Run synchronous code in the one thread of the process that does such work."""
    call = functools.partial(function, *args, **kwargs)
    return await sync_to_async(_with_live_connection)(call)


def _with_live_connection(call: Callable[[], _T]) -> _T:
    # Django's handler does this for its own threads only; without it a
    # connection that the database has closed fails for ever.
    close_old_connections()
    return call()
