"""The signature of a thinking block: it shows that the text is this server's.

Where a client does not want to see the thoughts, the signature carries them, so that
they come back with the conversation. It does not hide them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import zlib

from llm_manager.lib.errors import LLMManagerError

#: Begins every signature of ours; other servers' begin otherwise.
_MARK = "llmm1"


class ForeignSignature(LLMManagerError):
    """A signature that is not this server's."""


class WrongSignature(LLMManagerError):
    """A signature of this server's, with a text that it was not made for."""


class ThinkingSigner:
    """Signs thoughts with a key that is made from the server's secret."""

    def __init__(self, secret: str) -> None:
        self._key = hashlib.sha256(b"thinking\x00" + secret.encode()).digest()

    def sign(self, thinking: str, *, is_shown: bool) -> str:
        """Return the signature; without ``is_shown`` it carries the text."""
        data = thinking.encode("utf-8", "replace")
        parts = [_MARK, self._mac(data)]
        if not is_shown:
            parts.append(_encoded(zlib.compress(data, 9)))
        return ".".join(parts)

    def thinking(self, shown: str, signature: str) -> str:
        """Return the thoughts of a block. Raises ForeignSignature, WrongSignature."""
        mark, *rest = signature.split(".")
        if mark != _MARK or len(rest) not in (1, 2):
            raise ForeignSignature("The signature is another server's.")
        data = shown.encode("utf-8", "replace")
        if len(rest) == 2 and not shown:
            data = _carried(rest[1])
        if not hmac.compare_digest(self._mac(data).encode(), rest[0].encode()):
            raise WrongSignature("The signature is not that of this text.")
        return data.decode("utf-8", "replace")

    def _mac(self, data: bytes) -> str:
        return _encoded(hmac.new(self._key, data, "sha256").digest())


#: A text is far shorter: what unpacks to more was not made here.
_MAX_BYTES = 16 * 1024 * 1024


def _carried(text: str) -> bytes:
    """Return what a signature carries. Raises WrongSignature."""
    try:
        packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        unpacking = zlib.decompressobj()
        data = unpacking.decompress(packed, _MAX_BYTES)
    except (ValueError, zlib.error):
        raise WrongSignature("The signature carries no text.") from None
    if not unpacking.eof:
        raise WrongSignature("The signature carries no whole text.")
    return data


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
