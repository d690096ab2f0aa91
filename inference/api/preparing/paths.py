"""Members of a chat in the words of the request that was translated to it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from inference.api.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inference.errors import RequestRejected

_QUOTED = re.compile(r"'([^']+)'")


class Paths:
    """The paths of a chat's members, each with that of the request's own member."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self._own = dict(known)

    def add(self, path: str, own: str) -> None:
        """Note what a member of the chat is in the request."""
        self._own[path] = own

    def own(self, path: str) -> str:
        """Return the request's own path of a member, by its longest known beginning."""
        end = len(path)
        while end > 0:
            own = self._own.get(path[:end])
            if own is not None:
                return own + path[end:]
            end = max(path.rfind(".", 0, end), path.rfind("[", 0, end))
        return path

    def in_own_words(self, error: BadRequest | RequestRejected) -> BadRequest:
        """Return an error about the chat as one about the request."""
        message = _QUOTED.sub(lambda match: f"'{self.own(match[1])}'", str(error))
        param = None if error.param is None else self.own(error.param)
        return BadRequest(message, param=param, code=error.code)
