"""Paths of pages that hold a secret, as logs may have them."""

import re

#: The path of an invitation is as good as a password.
_INVITATION = re.compile(r"^(/account/invite/)[^/]+")


def without_secrets(path: str) -> str:
    """Return a path with "…" in place of its secret, if it has one."""
    return _INVITATION.sub(r"\1…", path)
