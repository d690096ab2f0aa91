"""What the garbage collector looks through."""

from __future__ import annotations

import gc

#: New objects until the collector looks through them. With CPython's 700 it looks
#: several times a request, at what the requests that run have made.
_NEW_OBJECTS = 5000


def freeze_heap() -> None:
    """Let the collector leave alone what has been loaded so far: it stays for good.

    It would stop a process for as long as it looks through all modules, some 0.2 s,
    whenever enough has been made since. What is made from now on it looks at less
    often.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS)
