"""A hub on this machine that speaks the real one's protocol, with its faults.

Two servers: the hub, and the host of large files that it redirects to, as git-lfs'
stores are.
"""

from __future__ import annotations

import hashlib
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_CHUNK = 64 * 1024


@dataclass
class SeenRequest:
    """A request that came: ``host`` is "hub" or "store"."""

    host: str
    path: str
    headers: dict[str, str]
    status: int = 0


@dataclass
class FakeHub:
    """Repositories, and what goes wrong with them."""

    repos: dict[str, dict[str, bytes]] = field(default_factory=dict)
    #: Files that are in git itself: no redirect, no sha256.
    small: set[str] = field(default_factory=set)
    #: The repositories that need this token.
    token: str | None = None
    #: After so many bytes of a body the connection ends; one entry for each request.
    cuts: list[int] = field(default_factory=list)
    #: After so many bytes of a body nothing comes until ``go_on``; one for each.
    holds: list[int] = field(default_factory=list)
    #: Statuses of the store's next answers.
    refusals: list[int] = field(default_factory=list)
    #: Other bytes than the hub announces.
    corrupted: dict[str, bytes] = field(default_factory=dict)
    #: Where files are, in the place of the store.
    redirect: str | None = None
    has_ranges: bool = True
    etag: str | None = '"v1"'
    seen: list[SeenRequest] = field(default_factory=list)
    held: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    go_on: threading.Event = field(default_factory=threading.Event)
    url: str = ""
    store_url: str = ""

    def add(self, repo: str, **files: bytes) -> None:
        """Add files to a repository."""
        self.repos.setdefault(repo, {}).update(files)

    def requests(self, host: str) -> list[SeenRequest]:
        """Return the requests that came to one of the hosts."""
        return [each for each in self.seen if each.host == host]


@contextmanager
def hub_server() -> Iterator[FakeHub]:
    """Run a hub and its store."""
    hub = FakeHub()
    servers = []
    try:
        for name in ("hub", "store"):
            handler = type("Handler", (_Handler,), {"hub": hub, "host_name": name})
            server = _Server(("127.0.0.1", 0), handler)
            servers.append(server)
            threading.Thread(
                target=server.serve_forever, args=(0.02,), daemon=True
            ).start()
        hub.url, hub.store_url = (
            f"http://127.0.0.1:{server.server_address[1]}" for server in servers
        )
        yield hub
    finally:
        hub.go_on.set()
        for server in servers:
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Say nothing: clients that go away are what is tested."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub
    host_name: str

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer as the hub, or as its store."""
        path = unquote(urlsplit(self.path).path)
        seen = SeenRequest(self.host_name, self.path, dict(self.headers))
        self._seen = seen
        self.hub.seen.append(seen)
        if self.host_name == "store":
            self._store(path.strip("/"))
        elif path.startswith("/api/v1/models/"):
            self._modelscope_list(path.removeprefix("/api/v1/models/"))
        elif path.startswith("/api/models/"):
            self._info(path.removeprefix("/api/models/"))
        elif "/resolve/" in path:
            # ModelScope's addresses begin with "models".
            place = path.strip("/").removeprefix("models/")
            self._resolve(*place.split("/resolve/"))
        else:
            self._error(404, "EntryNotFound", "Entry not found")

    def send_response(self, code: int, message: str | None = None) -> None:
        """Note the status."""
        self._seen.status = code
        super().send_response(code, message)

    # The hub ---------------------------------------------------------------------

    def _may_read(self) -> bool:
        token = self.hub.token
        return token is None or self.headers.get("Authorization") == f"Bearer {token}"

    def _info(self, name: str) -> None:
        repo, _, revision = name.partition("/revision/")
        files = self.hub.repos.get(repo)
        if files is None or not self._may_read():
            # The real hub does not tell a stranger which of the two it is.
            self._error(401, "RepoNotFound", "Invalid username or password.")
            return
        if revision not in ("", "main", COMMIT):
            self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        siblings = []
        for path, data in files.items():
            entry: dict[str, Any] = {"rfilename": path, "size": len(data)}
            entry["blobId"] = hashlib.sha1(data).hexdigest()  # noqa: S324 - as git does
            if path not in self.hub.small:
                digest = hashlib.sha256(data).hexdigest()
                entry["lfs"] = {"sha256": digest, "size": len(data), "pointerSize": 135}
            siblings.append(entry)
        self._json(
            {
                "_id": "65", "id": repo, "modelId": repo, "sha": COMMIT,
                "private": False, "gated": False, "tags": ["gguf"], "downloads": 1,
                "siblings": siblings,
            }
        )  # fmt: skip

    def _modelscope_list(self, name: str) -> None:
        repo, _, rest = name.partition("/repo/")
        files = self.hub.repos.get(repo)
        query = parse_qs(urlsplit(self.path).query)
        is_here = rest == "files" and query["Revision"][0] == "master"
        if files is None or not is_here:
            self._error(404, "", "not found")
            return
        assert query["Recursive"] == ["true"]
        found = [
            {
                "Type": "blob", "Path": path, "Name": path.rpartition("/")[2],
                "Size": len(data), "Sha256": hashlib.sha256(data).hexdigest(),
                "Revision": COMMIT,
            }
            for path, data in files.items()
        ]  # fmt: skip
        folders = {path.rpartition("/")[0] for path in files} - {""}
        found += [
            {"Type": "tree", "Path": path, "Size": 0, "Sha256": ""} for path in folders
        ]
        self._json({"Code": 200, "Success": True, "Data": {"Files": found}})

    def _resolve(self, repo: str, rest: str) -> None:
        _revision, _, path = rest.partition("/")
        data = self.hub.repos.get(repo, {}).get(path)
        if not self._may_read():
            self._error(403, "GatedRepo", "Access to this model is restricted.")
        elif data is None:
            self._error(404, "EntryNotFound", "Entry not found")
        elif path in self.hub.small:
            self._body(data)
        else:
            digest = hashlib.sha256(data).hexdigest()
            where = (
                self.hub.redirect or f"{self.hub.store_url}/{repo}/{path}?sig=s3cret"
            )
            self.send_response(302)
            self.send_header("Location", where)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("X-Linked-Size", str(len(data)))
            self.send_header("X-Linked-ETag", f'"{digest}"')
            self.send_header("Content-Length", "0")
            self.end_headers()

    # The store -------------------------------------------------------------------

    def _store(self, name: str) -> None:
        if self.hub.refusals:
            self._error(self.hub.refusals.pop(0), "", "busy")
            return
        organisation, repo, path = name.split("/", 2)
        data = self.hub.repos[f"{organisation}/{repo}"][path]
        self._body(self.hub.corrupted.get(path, data))

    def _body(self, data: bytes) -> None:
        start = 0
        asked = self.headers.get("Range", "")
        mark = self.headers.get("If-Range")
        if asked and self.hub.has_ranges and mark in (None, self.hub.etag):
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        if start > len(data) or (start and start == len(data)):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            span = f"bytes {start}-{len(data) - 1}/{len(data)}"
            self.send_header("Content-Range", span)
        if self.hub.etag:
            self.send_header("ETag", self.hub.etag)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self._send(data[start:])

    def _send(self, data: bytes) -> None:
        cut = self.hub.cuts.pop(0) if self.hub.cuts else len(data)
        hold = self.hub.holds.pop(0) if self.hub.holds else None
        if hold is not None:
            self.wfile.write(data[:hold])
            self.wfile.flush()
            self.hub.held.release()
            self.hub.go_on.wait(60)
            data, cut = data[hold:], max(cut - hold, 0)
        try:
            for offset in range(0, min(cut, len(data)), _CHUNK):
                self.wfile.write(data[offset : min(offset + _CHUNK, cut)])
        except OSError:
            self.close_connection = True
        if cut < len(data):
            self.close_connection = True

    def _json(self, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _error(self, status: int, code: str, message: str) -> None:
        data = json.dumps({"error": message}).encode()
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", message)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
