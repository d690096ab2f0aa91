'''Reads what the user types: one line, or several between `"""` and `"""`.'''

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_PROMPT, _MORE = ">>> ", "... "
_FENCE = '"""'
_HISTORY_LINES = 1000


def read_prompt(read_line: Callable[[str], str] = input) -> str:
    """Return what the user has typed.

    Raises EOFError for Ctrl-D, KeyboardInterrupt for Ctrl-C.
    """
    line = read_line(_PROMPT)
    if not line.lstrip().startswith(_FENCE):
        return line.strip()
    text = line.lstrip().removeprefix(_FENCE)
    while not text.rstrip().endswith(_FENCE):
        text += "\n" + read_line(_MORE)
    return text.rstrip().removesuffix(_FENCE).strip("\n")


@contextlib.contextmanager
def line_editing(words: Iterable[str]) -> Iterator[None]:
    """Edit lines with readline: history over sessions, Tab completes ``words``."""
    import readline

    history = _history_file()
    with contextlib.suppress(OSError):
        readline.read_history_file(history)
    readline.set_history_length(_HISTORY_LINES)
    readline.set_completer(_completer(sorted(words)))
    readline.set_completer_delims(" ")
    readline.parse_and_bind("tab: complete")
    try:
        yield
    finally:
        # What people type to a model is private.
        with contextlib.suppress(OSError):
            history.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            history.touch(mode=0o600)
            readline.write_history_file(history)


def _history_file() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "llm-manager" / "chat_history"


def _completer(words: list[str]) -> Callable[[str, int], str | None]:
    def complete(text: str, number: int) -> str | None:
        found = [
            word for word in words if text.startswith("/") and word.startswith(text)
        ]
        return found[number] if number < len(found) else None

    return complete
