"""A puller or its source is killed in the middle: no half file gets a name."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from registry.hub.disk import Room
from registry.hub.fetching import Fetcher
from registry.hub.parts import WantedFile
from registry.sharing.byte_rate import ByteRate
from registry.sharing.client import file_url, node_client
from tests.registry.sharing.file_server import SECRET, file_server, shared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PRINT = "a" * 64
_MIB = 1024 * 1024
#: The same in every process.
DATA = b"GGUF" + random.Random(1).randbytes(12 * _MIB)
DIGEST = hashlib.sha256(DATA).hexdigest()
#: Slow enough that most of it is still to come when somebody looks.
SLOW = _MIB
_WAIT_S = 120.0


class Counted(ByteRate):
    """A rate that knows how much has passed."""

    total = 0

    def passed(self, count: int) -> float:
        self.total += count
        return super().passed(count)


def pull(address: str, root: Path) -> None:
    """Fetch the file, as one of a model."""
    file = WantedFile(
        url=file_url(address, PRINT, 0),
        target=root / "m.gguf",
        size=len(DATA),
        sha256=DIGEST,
    )
    with node_client(SECRET) as client:
        fetcher = Fetcher(
            client,
            root / ".parts",
            Room(root, 0),
            moved=lambda _size: None,
            pause=time.sleep,
        )
        fetcher.fetch([file])


def serve(folder: Path, port: int, per_s: int) -> None:
    """Send the file until killed. Runs in a process."""
    import asyncio

    from registry.sharing.server import FileServer

    root, files = str(folder.resolve()), shared([folder / "m.gguf"])

    async def find(_fingerprint: str) -> object:
        return files

    async def run() -> None:
        server = FileServer(
            SECRET,
            find,  # type: ignore[arg-type]
            [root],
            ByteRate(per_s),
        )
        listening = await server.listen("127.0.0.1", port)
        await listening.serve_forever()

    asyncio.run(run())


@contextmanager
def process(call: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a function of this module in a process; kill it at the end."""
    code = (
        "from pathlib import Path; import tests.registry.downloads.test_killed_pulls "
        f"as here; here.{call}"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    started = subprocess.Popen([sys.executable, "-c", code], env=environment)
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _WAIT_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def come(root: Path) -> int:
    """Return how much of the file has come."""
    part = root / ".parts" / f"{DIGEST}.part"
    return part.stat().st_size if part.exists() else 0


def source_and_target(folder: Path) -> tuple[Path, Path]:
    source, target = folder / "there", folder / "here"
    source.mkdir()
    target.mkdir()
    (source / "m.gguf").write_bytes(DATA)
    return source, target


def test_a_killed_puller_leaves_no_file_and_the_next_one_goes_on(
    tmp_path: Path,
) -> None:
    there, here = source_and_target(tmp_path)
    files = {PRINT: shared([there / "m.gguf"])}
    with file_server(there, rate=ByteRate(SLOW)) as slow:
        slow.files = files
        call = f"pull({slow.address!r}, Path({str(here)!r}))"
        with process(call) as puller:
            until(lambda: come(here) > _MIB)
            puller.send_signal(signal.SIGKILL)
            assert puller.wait() == -signal.SIGKILL
    had = come(here)
    assert _MIB < had < len(DATA)
    assert not (here / "m.gguf").exists()
    rate = Counted(0)
    with file_server(there, rate=rate) as server:
        server.files = files
        pull(server.address, here)
    assert (here / "m.gguf").read_bytes() == DATA
    assert rate.total == len(DATA) - had
    assert list((here / ".parts").iterdir()) == []


def test_a_puller_whose_source_is_killed_goes_on_when_that_is_back(
    tmp_path: Path,
) -> None:
    there, here = source_and_target(tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def serving(per_s: int) -> str:
        return f"serve(Path({str(there)!r}), {port}, {per_s})"

    ended = threading.Event()

    def work() -> None:
        pull(f"127.0.0.1:{port}", here)
        ended.set()

    with process(serving(SLOW)) as source:
        until(lambda: is_open(port))
        puller = threading.Thread(target=work, daemon=True)
        puller.start()
        until(lambda: come(here) > _MIB)
        source.send_signal(signal.SIGKILL)
        source.wait()
    assert come(here) < len(DATA)
    assert not (here / "m.gguf").exists()
    with process(serving(0)):
        assert ended.wait(_WAIT_S)
    assert (here / "m.gguf").read_bytes() == DATA
    assert list((here / ".parts").iterdir()) == []


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
