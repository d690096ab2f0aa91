"""Calls a function on a stack that is large enough for any accepted grammar.

llguidance compiles grammars by unbounded recursion. A stack overflow ends the process,
so compiling gets a stack that the largest accepted grammar cannot fill. The kernel
allocates only the pages that are used.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")
#: 10 kB of nested parentheses, the worst case of that size, fill 8 MiB.
_STACK_BYTES = 256 * 1024 * 1024
_starting = threading.Lock()


def on_deep_stack(function: Callable[[], _T]) -> _T:
    """Return the result of the function, called in a thread of its own."""
    results: list[_T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="grammar", daemon=True)
    # The stack size is one setting for the process: another thread that starts
    # meanwhile gets the same, which costs it nothing.
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
