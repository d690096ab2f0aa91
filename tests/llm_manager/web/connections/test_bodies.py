"""Bodies as clients send them to a real web process: packed, large, slow, cut off."""

from __future__ import annotations

import gzip
import json
import select
import zlib
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from tests.llm_manager.waiting import wait_until

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tests.llm_manager.web.connections.conftest import WebProcess

pytestmark = pytest.mark.e2e

_MIB = 1024 * 1024


def head(key: str, length: int, *headers: str, path: str = "/v1/completions") -> bytes:
    lines = [
        *(f"POST {path} HTTP/1.1", "Host: a", f"Authorization: Bearer {key}"),
        *("Content-Type: application/json", "Connection: close"),
        *(f"Content-Length: {length}", *headers),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def parsed(answer: bytes) -> tuple[int, dict[str, Any]]:
    """Return the status and the error of an answer."""
    start, _, body = answer.partition(b"\r\n\r\n")
    return int(start.split()[1]), json.loads(body)["error"]


def chat_of(size: int) -> bytes:
    message = {"role": "user", "content": "x" * min(size, 90_000) or "Hi"}
    messages = [message] * (size // 90_000 + 1)
    return json.dumps({"model": "none", "messages": messages}).encode()


def rest_of(peer: socket.socket) -> bytes:
    return b"".join(iter(lambda: peer.recv(2**20), b""))


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKERS = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("GZIP", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
    ("zstd", zstandard.compress),
    ("identity", bytes),
]


@pytest.mark.parametrize(("encoding", "pack"), PACKERS)
@pytest.mark.parametrize("size", [0, 300_000])
def test_a_packed_body_is_read(
    web_process: WebProcess, encoding: str, pack: Callable[[bytes], bytes], size: int
) -> None:
    body = pack(chat_of(size))

    status, error = parsed(
        web_process.ask(
            head(
                *(web_process.key, len(body), f"Content-Encoding: {encoding}"),
                path="/v1/chat/completions",
            )
            + body
        )
    )

    assert (status, error["code"]) == (404, "model_not_found"), error


@pytest.mark.parametrize("encoding", ["br", "compress", "gzip, gzip", "gzip, br", "?"])
def test_another_encoding_is_415_by_name(
    web_process: WebProcess, encoding: str
) -> None:
    answer = web_process.ask(
        head(web_process.key, 2, f"Content-Encoding: {encoding}") + b"{}"
    )

    status, error = parsed(answer)
    assert status == 415
    assert f"'{encoding}' is not supported" in error["message"]


@pytest.mark.parametrize(("encoding", "pack"), PACKERS[:-1])
def test_a_body_that_is_too_large_unpacked_is_413(
    web_process: WebProcess, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    before = web_process.memory()
    body = pack(b" " * (500 * _MIB))

    answer = web_process.ask(
        head(web_process.key, len(body), f"Content-Encoding: {encoding}") + body
    )

    assert parsed(answer)[0] == 413
    assert web_process.memory() - before < 80 * _MIB


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", b"{}"),
        ("gzip", gzip.compress(b'{"model": "a"}', mtime=0)[:-4]),
        ("gzip", gzip.compress(b"", mtime=0) * 1000),
        ("deflate", b"\x78\x9c\xff\xff"),
        ("deflate", zlib.compress(b"{}") + b"more"),
        ("zstd", b"\x28\xb5\x2f\xfd\xff\xff"),
        ("zstd", zstandard.compress(b'{"model": "a"}')[:-4]),
    ],
    ids=[
        *("not packed", "cut", "many members", "no deflate", "more behind it"),
        *("no zstd", "zstd, cut"),
    ],
)
def test_a_damaged_packed_body_is_400(
    web_process: WebProcess, encoding: str, body: bytes
) -> None:
    answer = web_process.ask(
        head(web_process.key, len(body), f"Content-Encoding: {encoding}") + body
    )

    status, error = parsed(answer)
    assert (status, error["code"]) == (400, "invalid_encoding")
    assert error["message"].startswith(f"The body is not valid {encoding}: ")


def test_a_wrong_key_is_refused_before_its_body_is_sent(
    web_process: WebProcess,
) -> None:
    with web_process.connect() as peer:
        peer.sendall(head("sk-llmm-000000000000-wrong", 10 * _MIB))
        status, _ = parsed(rest_of(peer))

    assert status == 401


def test_a_body_that_is_declared_too_large_is_413_before_it_is_sent(
    web_process: WebProcess,
) -> None:
    with web_process.connect() as peer:
        peer.sendall(head(web_process.key, 11 * _MIB))
        assert parsed(rest_of(peer))[0] == 413


@pytest.mark.parametrize("path", ["/v1/completions", "/admin/login/"])
def test_a_body_that_drips_is_408(web_process: WebProcess, path: str) -> None:
    with web_process.connect() as peer:
        peer.settimeout(0.3)
        peer.sendall(head(web_process.key, 1000, path=path))
        answer = b""
        for _ in range(999):
            peer.sendall(b" ")
            try:
                answer = peer.recv(10_000)
            except TimeoutError:
                continue
            break
        peer.settimeout(60)
        while not answer.rstrip().endswith(b"}"):
            answer += peer.recv(10_000)

    status, error = parsed(answer)
    assert (status, error["code"]) == (408, "request_too_slow")


def test_more_bodies_than_may_be_read_at_once_are_503_and_small_ones_are_read(
    make_web_process: Callable[..., AbstractContextManager[WebProcess]],
) -> None:
    size = 9 * _MIB
    with make_web_process(LLM_MANAGER_SERVER_RECEIVE_TIMEOUT="60") as web_process:
        before = web_process.memory()
        peers = [web_process.connect() for _ in range(6)]
        for peer in peers:
            peer.sendall(head(web_process.key, size) + b" " * (size - 1))

        # Half of four times 10 MiB is a key's: two bodies of 9 MiB have room.
        refused = answered(peers, count=4)
        for answer in refused:
            assert b"retry-after: 1" in answer.lower()
            assert parsed(answer)[0] == 503
            assert parsed(answer)[1]["code"] == "server_busy"
        assert web_process.memory() - before < 60 * _MIB
        small = chat_of(10)
        request = head(web_process.key, len(small), path="/v1/chat/completions")
        assert parsed(web_process.ask(request + small))[0] == 404
        other = head(web_process.other_key, size) + b" " * size
        assert parsed(web_process.ask(other))[0] == 400
        for peer in peers:
            peer.close()


def answered(peers: list[socket.socket], count: int) -> list[bytes]:
    """Wait until so many of these connections have an answer; return those."""
    answers: dict[socket.socket, bytes] = {}

    def enough() -> bool:
        ready, _, _ = select.select(peers, [], [], 0)
        new = set(ready) - set(answers)
        answers.update({peer: peer.recv(10_000) for peer in new})
        return len(answers) >= count

    wait_until(enough)
    return list(answers.values())


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "none", "prompt": "' + b"x" * 10_000_000 + b'"}',
        b"{" + b", ".join(b'"k%d": 0' % n for n in range(700_000)) + b"}",
        b'{"stop": [' + b"0, " * 3_000_000 + b"0]}",
    ],
    ids=["a long text", "many members", "many values"],
)
@pytest.mark.long
def test_memory_comes_back_after_large_bodies(
    make_web_process: Callable[..., AbstractContextManager[WebProcess]], body: bytes
) -> None:
    with make_web_process() as web_process:
        warm = chat_of(200_000)
        warm_up = head(web_process.key, len(warm), path="/v1/chat/completions") + warm
        assert parsed(web_process.ask(warm_up))[0] == 404
        before = web_process.memory()
        for _ in range(8):
            answer = web_process.ask(head(web_process.key, len(body)) + body)
            assert parsed(answer)[0] == 400

        wait_until(lambda: web_process.memory() - before < 25 * _MIB, 10)


def test_programs_get_json_and_browsers_a_page_for_a_path_below_static(
    web_process: WebProcess,
) -> None:
    path = "GET /static/../../etc/passwd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"

    answer = web_process.ask(f"{path}\r\n".encode())
    page = web_process.ask(f"{path}Accept: text/html\r\n\r\n".encode())

    status, error = parsed(answer)
    assert (status, error["code"]) == (404, "not_found")
    assert page.startswith(b"HTTP/1.1 404")
    assert b"<h1>404 Not Found</h1>" in page
