"""Encrypts reasoning that a client keeps, so that only this server reads it again.

AES-GCM with a key of its own that is made of the server's secret key, and with the
owner as authenticated data: what one owner got, another one cannot send back.
"""

from __future__ import annotations

import base64
import os
import zlib
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

_VERSION = b"\x01"
#: Bytes of a nonce: NIST SP 800-38D's 96 bits.
_NONCE = 12
_PURPOSE = b"llm-manager reasoning.encrypted_content"
#: A text that unpacks to more than this many characters is no reasoning of ours.
_MAX_BYTES = 16 * 1024 * 1024


class Unreadable(ValueError):
    """A text that this server has not sealed for this owner."""


def seal(text: str, owner: str) -> str:
    """Return the text encrypted for its owner, in base64."""
    nonce = os.urandom(_NONCE)
    packed = zlib.compress(text.encode("utf-8", "replace"))
    sealed = _cipher(settings.SECRET_KEY).encrypt(nonce, packed, _bound(owner))
    return base64.urlsafe_b64encode(_VERSION + nonce + sealed).decode()


def unseal(sealed: str, owner: str) -> str:
    """Return a text that ``seal`` has encrypted for this owner. Raises Unreadable."""
    try:
        data = base64.urlsafe_b64decode(sealed.encode("ascii"))
        version, nonce, rest = data[:1], data[1 : 1 + _NONCE], data[1 + _NONCE :]
        if version != _VERSION:
            raise Unreadable
        packed = _cipher(settings.SECRET_KEY).decrypt(nonce, rest, _bound(owner))
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(packed, _MAX_BYTES)
        if unpacker.unconsumed_tail:
            raise Unreadable
        return text.decode()
    except (ValueError, InvalidTag, zlib.error) as error:
        raise Unreadable from error


def _bound(owner: str) -> bytes:
    return b"owner:" + owner.encode()


@lru_cache(maxsize=4)
def _cipher(secret: str) -> AESGCM:
    key = HKDF(SHA256(), 32, salt=None, info=_PURPOSE).derive(secret.encode())
    return AESGCM(key)
