"""Requests made to break the server: none is its fault, whatever they are made of."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.llm_manager.web.connections.conftest import WebProcess

pytestmark = pytest.mark.e2e

_STARTS = (
    *("/", "/static/", "/static/unfold/", "/admin/", "/admin/login/", "/docs"),
    *("/v1/", "/v1/models/", "/v1/chat/completions", "/health", "/metrics"),
    *("/openapi.json", "", "*", "http://a/", "http://a/static/", "//", "a"),
)
_STEPS = (
    *("..", "../..", "../../../../etc/passwd", "%2e%2e", "%2e%2e%2f%2e%2e%2fetc"),
    *("..%5c..", "..\\..", "%00", "a%00b", "%ff", "%c0%ae%c0%ae", "%ed%a0%80", "%"),
    *("%zz", "%0a", "%0d%0aX:%20y", "a" * 4000, "%F0%9F%98%80", ";", "/", "//"),
    *("...", ".", "~", "C:", "|", "%25252e", "\x7f", "{{7*7}}", "$(id)", "'--"),
)
_QUERIES = (
    *("", "?", "??", "?%ff", "?%00", "?a=%00", "?next=%ff%00", "?" + "a" * 4000),
    *("?a[]=1", "?" + "&" * 500, "?__proto__", "?%", "?q=\x7f", "?page=-1", "?o=a"),
)
_METHODS = (
    *("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH"),
    *("get", "X" * 100, "!#$", "PRI"),
)
_HOSTS = (
    *("a", "", "a b", "a:b", "a:99999999", "[::1", "[::1]:1", "é", "a,b", "a/", "@"),
    *("a\x7f", "xn--", "." * 300, "a" * 3000, "..", "%00", "a?b", "127.0.0.1:"),
)
_HEADERS = (
    *("", "Host: b", "Content-Type: ;;;", "Content-Type: a/b; charset=no-such"),
    *("Content-Type: multipart/form-data", "Content-Type: \xff", "Cookie: =;=;a"),
    *("Cookie: sessionid=\xff; csrftoken=\x7f", "Cookie: " + "a=b; " * 500),
    *("Range: bytes=-", "Range: bytes=5-1", "If-Modified-Since: never", "Accept: \xff"),
    *("If-Modified-Since: Mon, 99 Foo 99999 99:99:99 GMT", "Accept-Language: *;q=x"),
    *("X-Forwarded-For: ,,\xff", "Origin: null", "Origin: \xff", "Referer: \xff"),
    *("Authorization: Bearer", "Authorization: Bearer \xff", "Authorization: \xff"),
    *("X-Api-Key: \xff", "X-Request-Id: \xff", "X-Request-Id: " + "a" * 5000),
    *("Content-Encoding: br", "Content-Encoding: \xff", "Expect: everything"),
    *("Upgrade: websocket", "Connection: upgrade", "Daphne-Root-Path: /%ff"),
    *("Access-Control-Request-Method: \xff", "X_Underscore: a", "Forwarded: for=\xff"),
    *("Accept-Encoding: \xff", "Content-Language: \xff", "DNT: \xff", "Trailer: \xff"),
)


def _requests(count: int) -> Iterator[bytes]:
    """Yield requests: half of them plain but for their target, half of them odd."""
    chance = random.Random(7)
    for number in range(count):
        is_plain = number % 2 == 0
        target = chance.choice(_STARTS) + chance.choice(("", *_STEPS))
        target += "" if is_plain else chance.choice(_QUERIES)
        method = "GET" if is_plain else chance.choice(_METHODS)
        host = "a" if is_plain else chance.choice(_HOSTS)
        header = "" if is_plain else chance.choice(_HEADERS)
        body = chance.choice((b"", b"{}", b"\xff\x00", b"a=b&c=%ff", b"\x1f\x8b"))
        lines = [
            *(f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close"),
            *([header] if header else []),
            *([f"Content-Length: {len(body)}"] if body else []),
        ]
        yield "\r\n".join([*lines, "", ""]).encode("latin-1") + body


@pytest.mark.parametrize("count", [200, pytest.param(5000, marks=pytest.mark.long)])
def test_no_request_is_the_servers_fault(web_process: WebProcess, count: int) -> None:
    for request in _requests(count):
        answer = web_process.ask(request)
        head, _, body = answer.partition(b"\r\n\r\n")
        status = int(head.split()[1])
        assert status < 500, (request, answer)
        target = request.split(b" ")[1]
        is_page = b"/admin" in target
        if (status == 400 and not is_page) or target.startswith(b"/static/"):
            is_error = status >= 400 and not request.startswith(b"HEAD")
            assert not is_error or json.loads(_whole(head, body))["error"], request
    assert "Traceback" not in web_process.log.read_text()


def _whole(head: bytes, body: bytes) -> bytes:
    if b"transfer-encoding: chunked" not in head.lower():
        return body
    pieces = []
    while size := int((line := body.partition(b"\r\n"))[0], 16):
        pieces.append(line[2][:size])
        body = line[2][size + 2 :]
    return b"".join(pieces)


def test_what_is_no_request_is_refused_in_the_shape_of_its_path(
    web_process: WebProcess,
) -> None:
    framed = "Host: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n"
    shapes = {}
    for path in ("/v1/messages", "/v1/chat/completions"):
        answer = web_process.ask(f"POST {path} HTTP/1.1\r\n{framed}".encode())
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.split()[1] == b"400"
        shapes[path] = sorted(json.loads(_whole(head, body)))
    assert shapes == {
        "/v1/messages": ["error", "request_id", "type"],
        "/v1/chat/completions": ["error"],
    }
