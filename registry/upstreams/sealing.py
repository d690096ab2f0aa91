"""Keys of upstreams, encrypted in the database with a key made of Django's secret key.

Another secret key makes them unreadable: they are entered again.
"""

from __future__ import annotations

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings


class KeyUnreadable(Exception):
    """A key that was encrypted under another secret key."""


def seal(key: str) -> str:
    """Return a key encrypted; "" stays ""."""
    return _cipher().encrypt(key.encode()).decode("ascii") if key else ""


def unseal(sealed: str) -> str:
    """Return the key. Raises KeyUnreadable."""
    if not sealed:
        return ""
    try:
        return _cipher().decrypt(sealed.encode("ascii")).decode()
    except InvalidToken:
        raise KeyUnreadable from None


def _cipher() -> Fernet:
    key = hashlib.sha256(b"key of an upstream" + settings.SECRET_KEY.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(key))
