"""Files of another node, as if they came by HTTP: for what fetches files of a hub."""

from __future__ import annotations

import socket
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import httpx2

from llm_manager.lib.tunnel.addresses import host_and_port
from llm_manager.lib.tunnel.certificate import client_tls
from llm_manager.lib.tunnel.proofs import is_proof, line, parsed, proof
from registry.hub.errors import BrokenConnection, DownloadFailed, NoSuchFile
from registry.sharing.messages import (
    CONNECTS_WITHIN_S,
    DESCRIBE,
    MAX_LINE,
    SEND,
    SILENT_AFTER_S,
    FileAsk,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

_CHUNK = 256 * 1024
_SCHEME = "node"


def file_url(address: str, fingerprint: str, number: int) -> str:
    """Return what ``NodeTransport`` understands as a file of the node there."""
    return f"{_SCHEME}://{address}/{fingerprint}/{number}"


def described_files(
    address: str,
    secret: str,
    fingerprint: str,
    *,
    beat: Callable[[], None] = lambda: None,
) -> list[tuple[int, str]]:
    """Ask a node for the size and the SHA-256 of each file of a model.

    It may read the files for that; ``beat`` is called meanwhile. Raises DownloadFailed.
    """
    ask = FileAsk(DESCRIBE, fingerprint)
    try:
        with _Connection(address, secret, ask) as connection:
            while True:
                said = connection.said()
                if "files" in said:
                    return [_described(each) for each in said["files"]]
                if "refused" in said:
                    raise _why(said)(f"{address} refuses: {said['refused']}.")
                beat()
    except (OSError, ValueError, EOFError) as error:
        raise BrokenConnection(
            f"{address} cannot be asked: {_text_of(error)}."
        ) from None


def node_client(secret: str) -> httpx2.Client:
    """Return a client for the addresses of ``file_url``, and for no others."""
    return httpx2.Client(transport=NodeTransport(secret), trust_env=False)


class NodeTransport(httpx2.BaseTransport):
    """Answers requests for files of nodes. Raises httpx2.TransportError."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the answer; its body is read from the node as it is iterated."""
        _, fingerprint, number = request.url.path.split("/")
        offset = _offset(request)
        ask = FileAsk(SEND, fingerprint, int(number), offset)
        connection: _Connection | None = None
        try:
            address = f"{request.url.host}:{request.url.port}"
            connection = _Connection(address, self._secret, ask)
            said = connection.said()
            if "refused" in said:
                connection.close()
                return httpx2.Response(
                    int(said.get("status", 503)),
                    headers={"X-Error-Message": str(said["refused"])},
                )
            size = int(said["size"])
        except (OSError, ValueError, EOFError, KeyError) as error:
            if connection is not None:
                connection.close()
            raise httpx2.ConnectError(_text_of(error)) from None
        headers = {"Content-Length": str(size - offset)}
        if offset:
            headers["Content-Range"] = f"bytes {offset}-{size - 1}/{size}"
        return httpx2.Response(
            206 if offset else 200, headers=headers, stream=_Body(connection)
        )


class _Body(httpx2.SyncByteStream):
    """The bytes of a file, as they come."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    def __iter__(self) -> Iterator[bytes]:
        try:
            while chunk := self._connection.file.read(_CHUNK):
                yield chunk
        except OSError as error:
            raise httpx2.ReadError(_text_of(error)) from None

    def close(self) -> None:
        self._connection.close()


class _Connection:
    """A connection to a node that has proved to know the secret.

    Raises OSError, ValueError and EOFError while it is made, and DownloadFailed for a
    server with another secret.
    """

    def __init__(self, address: str, secret: str, ask: FileAsk) -> None:
        raw = socket.create_connection(host_and_port(address), CONNECTS_WITHIN_S)
        try:
            self._socket = client_tls().wrap_socket(raw)
        except BaseException:
            raw.close()
            raise
        self.file: BinaryIO = self._socket.makefile("rb")
        try:
            self._greet(address, secret, ask)
            self._socket.settimeout(SILENT_AFTER_S)
        except BaseException:
            self.close()
            raise

    def _greet(self, address: str, secret: str, ask: FileAsk) -> None:
        certificate = self._socket.getpeercert(binary_form=True) or b""
        nonce = str(self.said().get("nonce"))
        given = proof(secret, "client", certificate, nonce, ask)
        self._socket.sendall(line(ask=asdict(ask), proof=given))
        answer = self.said()
        if not is_proof(answer.get("proof"), secret, "server", certificate, nonce, ask):
            raise DownloadFailed(
                f"What answers at {address} has another secret key than this machine: "
                "LLM_MANAGER_SECRET_KEY must be the same on all."
            )

    def said(self) -> dict[str, Any]:
        """Return the next message. Raises OSError, ValueError, EOFError."""
        text = self.file.readline(MAX_LINE)
        if not text:
            raise EOFError
        return parsed(text)

    def close(self) -> None:
        """End it."""
        self.file.close()
        self._socket.close()

    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _described(file: Any) -> tuple[int, str]:
    size, sha256 = file
    return int(size), str(sha256)


def _offset(request: httpx2.Request) -> int:
    """Return where the asked range begins: ``bytes=100-`` is the only form."""
    span = request.headers.get("Range", "bytes=0-")
    return int(span.removeprefix("bytes=").removesuffix("-"))


def _why(said: dict[str, Any]) -> type[DownloadFailed]:
    return BrokenConnection if said.get("status") == 503 else NoSuchFile


def _text_of(error: Exception) -> str:
    if isinstance(error, EOFError):
        return "it ended the connection"
    if isinstance(error, OSError):
        return (error.strerror or str(error) or type(error).__name__).lower()
    return "what answers there is no node"
