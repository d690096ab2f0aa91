"""File names in messages, without the folders that they are in."""

from __future__ import annotations

import re

#: A quoted absolute path, which may have blanks; or a bare one, which ends at one.
_PATH = re.compile(
    r"""(?P<quote>['"`])/(?:[^'"`\n]*/)?(?P<name>[^'"`/\n]*)(?P=quote)"""
    r"""|(?<![\w.:/~-])/(?:[^\s'"`/]+/)+(?P<bare>[^\s'"`/]*)"""
)


def without_folders(text: str) -> str:
    """Return a message in which each absolute path is its last part only.

    What a library says of a file names its place on the server, which is nobody's
    business but the administrator's.
    """
    return _PATH.sub(_last_part, text)


def _last_part(found: re.Match[str]) -> str:
    quote = found["quote"] or ""
    return f"{quote}{found['name'] or found['bare'] or ''}{quote}"
