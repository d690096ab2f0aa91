"""Upstreams that speak HTTP/2: a real server with TLS."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from inference.upstreams.calling import UpstreamRequest, answer_of
from inference.upstreams.connections import links
from registry.models import Upstream
from tests.checkout import ROOT
from tests.configuration import unchecked
from tests.scripted_upstream import DONE, chunk

if TYPE_CHECKING:
    from collections.abc import Iterator
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


@contextmanager
def http2_upstream(folder: Path) -> Iterator[int]:
    """Run an upstream by TLS and HTTP/2; yield its port."""
    write_certificate(folder)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "hypercorn", "--workers", "0"),
                *("--bind", f"fd://{listening.fileno()}"),
                *("--certfile", folder / "cert.pem", "--keyfile", folder / "key.pem"),
                "tests.inference.upstreams.http2_upstream:application",
            ],
            cwd=ROOT,
            pass_fds=[listening.fileno()],
        )
    try:
        yield port
    finally:
        process.kill()
        process.wait()


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
    with http2_upstream(tmp_path) as port:
        # As an operator names the authority of a network's own certificates.
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        row = Upstream(pk=1, name="h2", base_url=f"https://127.0.0.1:{port}/v1")
        request = UpstreamRequest(row, "chat", "far", {"stream": True}, {})
        both = asyncio.gather(_read(request), _read(request))
        first, second = await asyncio.wait_for(both, 60)
        await links().aclose()
    # One connection, in which both ran at once.
    assert first == second
    assert b"HTTP/2 from" in first
    assert first.endswith((chunk(finish_reason="stop") + DONE).encode())
