"""Runs database code in threads, next to an event loop."""

from __future__ import annotations

import asyncio
import functools
import os
from contextvars import copy_context
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import close_old_connections

from llm_manager.lib.processes.fair_threads import FairThreads

if TYPE_CHECKING:
    from collections.abc import Callable

_P = ParamSpec("_P")
_T = TypeVar("_T")

#: As many as the event loop's own pool has.
_THREADS = min(32, (os.cpu_count() or 1) + 4)
#: While one of a client's waits for the database, another one computes. More of them
#: would only take turns at the interpreter, at the cost of everybody else.
_MOST_OF_CLIENT = 2


async def in_thread(
    function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
) -> _T:
    """Run synchronous code in a thread of the event loop's pool.

    Django's ``thread_sensitive`` would use the request's own thread, which is new for
    every request, and so would be its database connection.
    """
    call = functools.partial(function, *args, **kwargs)
    return await asyncio.to_thread(with_live_connection, call)


async def in_turn(
    client: str,
    function: Callable[_P, _T],
    *args: _P.args,
    **kwargs: _P.kwargs,
) -> _T:
    """Run synchronous code in a thread; clients that wait for one take turns."""
    call = functools.partial(function, *args, **kwargs)
    in_context = functools.partial(copy_context().run, with_live_connection, call)
    return await asyncio.wrap_future(_fair_threads().submit(client, in_context))


@functools.cache
def _fair_threads() -> FairThreads:
    return FairThreads("request", threads=_THREADS, most=_MOST_OF_CLIENT, rests=True)


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
