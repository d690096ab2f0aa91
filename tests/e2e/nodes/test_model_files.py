"""Two machines with models directories of their own, on one database and one Redis."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from benchmarks.model import put_model
from llm_manager.launcher.redis_process import find_server
from tests.whole_server import Server, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.model,
    pytest.mark.long,
    pytest.mark.timeout(600),
]

FAR = "llm-far"
_WAIT_S = 120.0
#: A machine of its own is a process with a host name and a disk of its own.
_APART = (
    f"echo {FAR} > /proc/sys/kernel/hostname; "
    'mount --bind "$1" "$2"; shift 2; exec "$@"'
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def started(
    command: list[str], log: Path, env: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=env, stdout=file, stderr=file)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def until(is_so: Callable[[], Any]) -> Any:
    """Return what a function finds, as soon as it finds something."""
    end = time.monotonic() + _WAIT_S
    while time.monotonic() < end:
        if found := is_so():
            return found
        time.sleep(0.2)
    raise AssertionError("It did not come about.")


class Clients:
    """What clients and administrators ask the server for."""

    def __init__(self, server: Server) -> None:
        self._http = httpx.Client(
            base_url=f"http://{server.host}:{server.port}",
            headers={"Authorization": f"Bearer {server.key}"},
            timeout=_WAIT_S,
        )

    def close(self) -> None:
        self._http.close()

    def get(self, path: str) -> Any:
        response = self._http.get(path)
        response.raise_for_status()
        return response.json()

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self._http.post(path, json=body)

    def answer(self, model: str) -> str:
        """Return what a model says, of two words that it may."""
        response = self.post(
            "/v1/chat/completions",
            model=model,
            messages=[{"role": "user", "content": "Say yes or no."}],
            guided_choice=["yes", "no"],
        )
        assert response.status_code == 200, response.text
        content: str = response.json()["choices"][0]["message"]["content"]
        return content

    def nodes(self) -> dict[str, Any]:
        return {node["name"]: node for node in self.get("/v1/admin/nodes")["data"]}

    def has(self, node: str, model: str) -> bool:
        files = self.get(f"/v1/admin/nodes/{node}/files")["data"]
        return any(model in each["models"] for each in files)


def test_a_model_is_served_where_its_file_is_and_pulled_to_where_it_is_not(
    tmp_path: Path,
) -> None:
    redis, unshare = find_server(), shutil.which("unshare")
    if redis is None or unshare is None or os.geteuid() != 0:
        pytest.skip("This wants redis-server, and unshare as root.")
    disk, models = tmp_path / "disk", tmp_path / "far" / "models"
    model = put_model(disk, "Q4_0").stem
    models.mkdir(parents=True)
    (tmp_path / "near").mkdir()
    port = free_port()
    shared = {
        "REDIS_URL": f"redis://127.0.0.1:{port}",
        "LLM_MANAGER_SECRET_KEY": secrets.token_urlsafe(50),
    }
    with ExitStack() as running_now:
        command = [str(redis), "--port", str(port), "--save", "", "--bind", "127.0.0.1"]
        env = dict(os.environ)
        running_now.enter_context(started(command, tmp_path / "redis.log", env))
        near = running_now.enter_context(
            running(tmp_path / "near", LLM_MANAGER_NODES_PULL_MODELS="nodes", **shared)
        )
        clients = running_now.enter_context(closing(Clients(near)))
        (here,) = clients.nodes()
        far_env = {
            **os.environ,
            **shared,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "DATABASE_URL": f"sqlite:///{tmp_path / 'near' / 'db.sqlite3'}",
            "LLM_MANAGER_NODES_LISTEN": f"127.0.0.1:{free_port()}",
            "LLM_MANAGER_SERVER_SPARE_PROCESSES": "false",
        }
        program = [sys.executable, "-m", "llm_manager", "--data-dir"]
        command = [*program, str(tmp_path / "far"), "engine"]
        apart = [unshare, "--uts", "--mount", "sh", "-c", _APART, "-"]
        command = [*apart, str(disk), str(models), *command]
        with started(command, tmp_path / "far.log", far_env) as far:
            until(lambda: FAR in clients.nodes() and clients.has(FAR, model))
            assert not clients.has(here, model)
            # The near machine lacks the file, so the far one loads it.
            assert clients.answer(model) in ("yes", "no")
            (worker,) = clients.nodes()[FAR]["workers"]
            assert (worker["model"], worker["state"]) == (model, "ready")
            pull = clients.post(f"/v1/admin/nodes/{here}/files", model=model)
            assert pull.status_code == 200, pull.text
            until(lambda: clients.has(here, model))
            far.send_signal(signal.SIGTERM)
            far.wait(60)
        until(lambda: FAR not in clients.nodes())
        assert clients.answer(model) in ("yes", "no")
        assert model in [each["model"] for each in clients.nodes()[here]["workers"]]
        copied = next((tmp_path / "near" / "models").rglob(f"{model}.gguf"))
        assert copied.read_bytes() == (disk / f"{model}.gguf").read_bytes()
