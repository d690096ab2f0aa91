"""A call on a stack that is deep enough for recursion over a hostile grammar.

llguidance compiles grammars by recursion without a bound. What it overflows is the
thread's stack, and then the process is gone; so it gets one that the largest grammar
that is let in cannot fill. Memory is only taken where the stack is used.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")
#: 8 MiB are full after 10 kB of nested parentheses, the densest of grammars.
_STACK_BYTES = 256 * 1024 * 1024
_starting = threading.Lock()


def on_deep_stack(function: Callable[[], _T]) -> _T:
    """Return what the function returns, called in a thread of its own."""
    results: list[_T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="grammar", daemon=True)
    # The size is one for the process: another thread that starts meanwhile gets
    # the same, which costs it nothing.
    with _starting:
        size = threading.stack_size(_STACK_BYTES)
        try:
            thread.start()
        finally:
            threading.stack_size(size)
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
