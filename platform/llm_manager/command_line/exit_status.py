"""What the exit status says, and the error that sets it."""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """The exit statuses of every verb; docs/cli.md has them as a table."""

    DONE = 0, "Done."
    FAILED = 1, "It failed; standard error says why."
    WRONG_USAGE = 2, "The command line or the configuration is wrong."
    UNREACHABLE = 3, "No server answers."
    REFUSED = 4, "The server refuses the key, or the key may not do this."
    NOT_FOUND = 5, "There is no such model, key, team or user."
    BUSY = 6, "The server cannot take the request now; a later try may succeed."
    INTERRUPTED = 130, "Ctrl-C ended it."

    meaning: str

    def __new__(cls, value: int, meaning: str) -> ExitStatus:
        """Return a status that knows its meaning."""
        status = int.__new__(cls, value)
        status._value_ = value
        status.meaning = meaning
        return status


class CommandFailed(Exception):
    """A verb cannot do its work; the message is one sentence for people.

    ``code`` is the code of the API's error, where there is one.
    """

    def __init__(
        self, sentence: str, status: ExitStatus = ExitStatus.FAILED, *, code: str = ""
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
