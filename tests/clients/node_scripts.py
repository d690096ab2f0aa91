"""Clients in JavaScript: each proof is a script in tests/clients/node that exits 0."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.clients.client import EMBEDDER, FOLDER_MODEL, MODEL

if TYPE_CHECKING:
    from tests.whole_server import Server

FOLDER = Path(__file__).parent / "node"
_SHARED = "client.mjs"
#: Seconds of one script.
_TIMEOUT_S = 300


def proofs(client: str) -> list[str]:
    """Return the names of a client's scripts."""
    files = sorted((FOLDER / client).glob("*.mjs"))
    return [file.stem for file in files if file.name != _SHARED]


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of packages that package.json names."""
    named: dict[str, Any] = json.loads((FOLDER / "package.json").read_text())
    return {package: named["dependencies"][package] for package in packages}


def run_script(client: str, name: str, server: Server) -> None:
    """Run a script against a server; raises AssertionError with what it printed."""
    done = subprocess.run(
        # Node.js comes in a wheel, beside Python.
        [Path(sys.executable).with_name("node"), f"{client}/{name}.mjs"],
        cwd=FOLDER,
        env={
            **os.environ,
            "SERVER": f"http://{server.host}:{server.port}",
            "KEY": server.key,
            "MODEL": MODEL,
            "FOLDER_MODEL": FOLDER_MODEL,
            "EMBEDDER": EMBEDDER,
        },
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
