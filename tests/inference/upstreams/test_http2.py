"""Upstreams that speak HTTP/2: a real server with TLS."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import hypercorn.asyncio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from inference.upstreams.calling import UpstreamRequest, answer_of
from inference.upstreams.connections import links
from registry.models import Upstream
from tests.configuration import unchecked
from tests.scripted_upstream import DONE, chunk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def write_certificate(folder: Path) -> None:
    """Write a key and a certificate of 127.0.0.1 that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "upstream")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            pem,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


class Http2Upstream:
    """An ASGI application that ends its streams when two of them run."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []
        self.both = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if scope["method"] == "POST":
            self.scopes.append(scope)
            if len(self.scopes) == 2:
                self.both.set()
            await send(_piece(chunk("Hello"), more=True))
            await self.both.wait()
        await send(_piece(chunk(finish_reason="stop") + DONE, more=False))


def _piece(text: str, *, more: bool) -> dict[str, Any]:
    return {"type": "http.response.body", "body": text.encode(), "more_body": more}


@asynccontextmanager
async def http2_upstream(folder: Path) -> AsyncIterator[tuple[Http2Upstream, int]]:
    """Yield an upstream by TLS and HTTP/2 and its port."""
    write_certificate(folder)
    listening = socket.create_server(("127.0.0.1", 0))
    config = hypercorn.Config()
    config.bind = [f"fd://{listening.detach()}"]
    config.certfile = str(folder / "cert.pem")
    config.keyfile = str(folder / "key.pem")
    config.accesslog = config.errorlog = None
    application, over = Http2Upstream(), asyncio.Event()
    port = int(_port(config.bind[0]))
    serving = asyncio.create_task(
        hypercorn.asyncio.serve(
            application,  # type: ignore[arg-type]
            config,
            shutdown_trigger=over.wait,
        )
    )
    try:
        yield application, port
    finally:
        over.set()
        await serving


def _port(bind: str) -> int:
    with socket.socket(fileno=socket.dup(int(bind.removeprefix("fd://")))) as copy:
        port: int = copy.getsockname()[1]
        return port


async def _read(request: UpstreamRequest) -> bytes:
    async with answer_of(request) as answer:
        return await answer.whole()


@pytest.mark.django_db(transaction=True)
async def test_streams_share_a_connection_by_http_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
) -> None:
    settings.CONFIG = unchecked(
        settings.CONFIG, upstreams__private_hosts=("127.0.0.1",)
    )
    # As an operator names the authority of a network's own certificates.
    async with http2_upstream(tmp_path) as (upstream, port):
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        row = Upstream(pk=1, name="h2", base_url=f"https://127.0.0.1:{port}/v1")
        request = UpstreamRequest(row, "chat", "far", {"stream": True}, {})
        both = asyncio.gather(_read(request), _read(request))
        first, second = await asyncio.wait_for(both, 60)
        await links().aclose()
    expected = (chunk("Hello") + chunk(finish_reason="stop") + DONE).encode()
    assert first == second == expected
    assert [scope["http_version"] for scope in upstream.scopes] == ["2", "2"]
    # The same port of ours: one connection, in which both ran at once.
    assert len({tuple(scope["client"]) for scope in upstream.scopes}) == 1
