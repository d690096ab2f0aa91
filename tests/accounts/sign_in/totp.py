"""The codes of an authenticator app (RFC 6238), as a phone computes them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
import time


def code_now(secret: str) -> str:
    """Return the six digits of this half minute."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    counter = struct.pack(">Q", int(time.time()) // 30)
    digest = hmac.new(key, counter, hashlib.sha1).digest()
    start = digest[-1] & 15
    (number,) = struct.unpack(">I", digest[start : start + 4])
    return f"{(number & 0x7FFFFFFF) % 1_000_000:06d}"
