"""A node sends its model files to who knows the secret, and nothing else."""

from __future__ import annotations

import hashlib
import socket
from typing import TYPE_CHECKING

import httpx2
import pytest

from llm_manager.lib.tunnel.addresses import host_and_port
from llm_manager.lib.tunnel.certificate import client_tls
from llm_manager.lib.tunnel.proofs import line, parsed
from registry.hub.errors import BrokenConnection, DownloadFailed, NoSuchFile
from registry.sharing import server as server_module
from registry.sharing.client import described_files, file_url, node_client
from registry.sharing.messages import SEND, FileAsk, ask_of, shared_secret
from tests.registry.sharing.file_server import SECRET, file_server, shared

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.registry.sharing.file_server import RunningServer

PRINT = "a" * 64
DATA = b"GGUF" + bytes(range(256)) * 8000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    """A node with a model of one file."""
    (tmp_path / "models").mkdir()
    path = tmp_path / "models" / "m.gguf"
    path.write_bytes(DATA)
    with file_server(tmp_path / "models") as running:
        running.files[PRINT] = shared([path])
        yield running


def got(server: RunningServer, number: int = 0, start: int = 0) -> httpx2.Response:
    url = file_url(server.address, PRINT, number)
    headers = {"Range": f"bytes={start}-"} if start else {}
    with node_client(SECRET) as client:
        return client.get(url, headers=headers)


def test_files_are_described_and_sent(server: RunningServer) -> None:
    digest = hashlib.sha256(DATA).hexdigest()
    assert described_files(server.address, SECRET, PRINT) == [(len(DATA), digest)]
    response = got(server)
    assert (response.status_code, response.content) == (200, DATA)


def test_a_file_goes_on_from_the_byte_that_is_asked_for(server: RunningServer) -> None:
    response = got(server, start=1_000_000)
    assert response.status_code == 206
    size = len(DATA)
    span = f"bytes 1000000-{size - 1}/{size}"
    assert response.headers["Content-Range"] == span
    assert response.content == DATA[1_000_000:]
    assert got(server, start=size + 1).status_code == 416


def test_who_has_another_secret_gets_nothing(server: RunningServer) -> None:
    with pytest.raises(DownloadFailed, match="another secret key"):
        described_files(server.address, "t" * 64, PRINT)


def test_a_proof_for_one_file_is_none_for_another(server: RunningServer) -> None:
    with (
        socket.create_connection(host_and_port(server.address), 60) as raw,
        client_tls().wrap_socket(raw) as connection,
    ):
        reader = connection.makefile("rb")
        reader.readline()
        ask = {"purpose": SEND, "fingerprint": PRINT, "number": 0, "offset": 0}
        connection.sendall(line(ask={**ask, "nonce": "n"}, proof="0" * 64))
        assert "stranger" in parsed(reader.readline())
        assert reader.read() == b""


def test_what_it_does_not_report_is_gone(server: RunningServer) -> None:
    with pytest.raises(NoSuchFile, match="no such model"):
        described_files(server.address, SECRET, "b" * 64)
    assert got(server, number=1).status_code == 410


def test_a_file_that_was_replaced_is_not_sent(
    server: RunningServer, tmp_path: Path
) -> None:
    (tmp_path / "models" / "m.gguf").write_bytes(DATA + b"more")
    with pytest.raises(NoSuchFile, match="has changed"):
        described_files(server.address, SECRET, PRINT)
    assert got(server).headers["X-Error-Message"] == "its file has changed"


def test_a_link_out_of_the_models_directory_is_not_followed(
    server: RunningServer, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.gguf"
    secret.write_bytes(DATA)
    link = tmp_path / "models" / "link.gguf"
    link.symlink_to(secret)
    server.files[PRINT] = shared([link])
    with pytest.raises(NoSuchFile, match="outside of the models directories"):
        described_files(server.address, SECRET, PRINT)


def test_more_transfers_than_it_has_places_for_are_told_to_wait(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_MOST_AT_ONCE", 0)
    assert got(server).status_code == 503
    with pytest.raises(BrokenConnection):
        described_files(server.address, SECRET, PRINT)


def test_a_node_that_is_gone_is_a_broken_connection(server: RunningServer) -> None:
    server.stop()
    with pytest.raises(BrokenConnection, match="connection refused"):
        described_files(server.address, SECRET, PRINT)
    with pytest.raises(httpx2.TransportError):
        got(server)


@pytest.mark.parametrize(
    "changes",
    [
        {"purpose": "list"},
        {"fingerprint": "../../etc/passwd"},
        {"fingerprint": PRINT + "\n"},
        {"number": -1},
        {"number": True},
        {"offset": 1.5},
        {"offset": 2**63},
        {"path": "/etc/passwd"},
        {"nonce": None},
    ],
)
def test_a_request_that_is_none_is_refused(changes: dict[str, object]) -> None:
    ask = FileAsk(SEND, PRINT)
    given = {name: getattr(ask, name) for name in FileAsk.__dataclass_fields__}
    assert ask_of({"ask": given}) == ask
    with pytest.raises(ValueError, match="no request"):
        ask_of({"ask": {**given, **changes}})


def test_the_secret_follows_from_the_secret_key() -> None:
    assert shared_secret("one") == shared_secret("one") != shared_secret("two")
    assert "one" not in shared_secret("one")
