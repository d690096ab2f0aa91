"""Answers to what never reaches an application, in the API's shape."""

from __future__ import annotations

import json
from http import HTTPStatus


def error_body(message: str, *, kind: str, code: str) -> bytes:
    """Return the body of an error."""
    error = {"message": message, "type": kind, "param": None, "code": code}
    return json.dumps({"error": error}).encode()


def raw_refusal(status: int, message: str, *, kind: str, code: str) -> bytes:
    """Return a whole answer as bytes, after which the connection is closed."""
    body = error_body(message, kind=kind, code=code)
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        "content-type: application/json\r\n"
        f"content-length: {len(body)}\r\n"
        "connection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
