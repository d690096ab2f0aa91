"""Runs database code in threads, next to an event loop."""

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

    Django's ``thread_sensitive`` would use the request's own thread, which is new for
    every request, and so would be its database connection.
    """
    call = functools.partial(function, *args, **kwargs)
    return await asyncio.to_thread(with_live_connection, call)


async def in_one_thread(
    function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
) -> _T:
    """Run synchronous code in the process's single thread for it."""
    call = functools.partial(function, *args, **kwargs)
    return await sync_to_async(with_live_connection)(call)


def with_live_connection(call: Callable[[], _T]) -> _T:
    """Call it in this thread, whose database connection may be long idle."""
    # Django's handler does this only for its own threads. Without it, a connection that
    # the database has closed would fail for ever.
    close_old_connections()
    return call()
