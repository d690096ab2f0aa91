"""Sends notices to the configured address, signed as Standard Webhooks are.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import urllib.error
import urllib.request
from typing import Any

#: How long the other side may take.
_TIMEOUT_S = 10
_PREFIX = "whsec_"
_MIN_SECRET = 16


class WebhookFailed(Exception):
    """The other side did not take a message; the text says why."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the message is for the configured address alone."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Return nothing, which makes a redirect an error."""


_opener = urllib.request.build_opener(_NoRedirects)


def can_sign(secret: str) -> bool:
    """Return whether a secret is long enough, and base64 if it says so."""
    try:
        return len(secret) >= _MIN_SECRET and bool(_key_of(secret))
    except ValueError:
        return False


def _key_of(secret: str) -> bytes:
    if secret.startswith(_PREFIX):
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    return secret.encode()


def signature_of(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of the header ``webhook-signature``.

    A ``secret`` that begins with ``whsec_`` goes on in base64; another is used as text.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.new(_key_of(secret), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def webhook_post(
    url: str, secret: str, *, message_id: str, timestamp: int, payload: dict[str, Any]
) -> None:
    """POST a payload as JSON. Raises WebhookFailed for all but a status of 2xx.

    ``message_id`` is the same for each attempt; ``timestamp`` is this one's, in seconds
    since the epoch.
    """
    body = json.dumps(payload, ensure_ascii=False).encode()
    request = urllib.request.Request(  # noqa: S310 - the configuration's; http or https
        url,
        data=body,
        method="POST",
        headers={
            "Content-Type": "application/json",
            "User-Agent": "llm-manager",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature_of(secret, message_id, timestamp, body),
        },
    )
    try:
        with _opener.open(request, timeout=_TIMEOUT_S):
            return
    except urllib.error.HTTPError as error:
        error.close()
        raise WebhookFailed(f"The answer was {error.code} {error.reason}.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise WebhookFailed(f"It cannot be reached: {reason}.") from None
