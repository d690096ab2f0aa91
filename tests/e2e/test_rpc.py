"""One model on several machines: two RPC servers here, in processes of their own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest

from inference.engine.llama.bindings.rpc import has_rpc
from llm_manager import LLMManager
from tests.whole_server import SAMPLE, put_models, running

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.model,
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not has_rpc(), reason="scripts/build_rpc.sh was not run"),
]

SECRET = "the secret of this test, and of no other"
MODEL = f"{SAMPLE}.Q4_1"
#: A prompt whose answer is not in doubt.
COUNTING = ", ".join(map(str, range(1, 30))) + ","
N_TOKENS = 90
#: When the fault comes.
_TEXT_BEFORE = 30
_LISTENS = re.compile(r"RPC server on (127\.0\.0\.1:\d+): ")


class Lender:
    """``llm-manager rpc`` in a process of its own."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self.address = "127.0.0.1:0"
        self.start()

    def start(self) -> None:
        """Start it, where it was before."""
        environment = {**os.environ, "LLM_MANAGER_RPC_SECRET": SECRET}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        port = self.address.rpartition(":")[2]
        command = [sys.executable, "-m", "llm_manager", "rpc", "--port", port]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--threads", "1", "--memory-mb", "1500"],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        match = _LISTENS.match(self._process.stdout.readline())
        assert match, self._log.read_text()
        self.address = match[1]

    def end(self, how: signal.Signals) -> None:
        self._process.send_signal(how)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def held(self) -> int:
        """Bytes that llama.cpp's server has allocated, without the files it maps."""
        (child,) = psutil.Process(self._process.pid).children()
        status = Path(f"/proc/{child.pid}/status").read_text()
        (kib,) = re.findall(r"RssAnon:\s+(\d+)", status)
        return int(kib) * 1024


@contextmanager
def lenders(folder: Path) -> Iterator[tuple[Lender, Lender]]:
    both = Lender(folder / "one.log"), Lender(folder / "two.log")
    try:
        yield both
    finally:
        for each in both:
            each.end(signal.SIGTERM)


def test_both_servers_hold_the_model_and_it_answers_as_alone(tmp_path: Path) -> None:
    models = tmp_path / "models"
    put_models(models)
    file = models / f"{MODEL}.gguf"
    asked: dict[str, Any] = {"prompt": COUNTING, "max_tokens": 40, "temperature": 0}
    load = {"n_ctx": 512, "n_seq_max": 2}
    with lenders(tmp_path) as both:
        servers = [each.address for each in both]
        rpc = {"servers": servers, "secret": SECRET}
        with LLMManager(models, {"rpc": rpc}) as manager:
            manager.load_model(file.name, config=load)
            alone = manager.generate(**asked)
            manager.unload_model()
            manager.load_model(file.name, config={**load, "rpc_servers": servers})
            held = [each.held for each in both]
            together = manager.generate(**asked)
    assert text_of(together) == text_of(alone)
    assert " 30, 31, 32" in text_of(alone)
    # The input alone stays here: each has about half of the rest.
    assert min(held) > file.stat().st_size / 3


def text_of(answer: Any) -> str:
    return str(answer["choices"][0]["text"])


def test_a_server_that_is_killed_costs_a_pause_and_no_token(tmp_path: Path) -> None:
    home = tmp_path / "home"
    put_models(home / "models")
    with lenders(tmp_path) as both:
        addresses = ",".join(each.address for each in both)
        with (
            running(
                home,
                LLM_MANAGER_RPC_SERVERS=addresses,
                LLM_MANAGER_RPC_SECRET=SECRET,
                LLM_MANAGER_GPU_RPC_SERVERS=addresses,
                LLM_MANAGER_MODELS_DEFAULT_CTX="512",
                # Cells on other machines are all filled at the load.
                LLM_MANAGER_ENGINE_N_SEQ_MAX="2",
                # On a busy machine the second load takes its time.
                LLM_MANAGER_ENGINE_QUEUE_TIMEOUT="800",
            ) as server,
            httpx.Client(
                base_url=f"http://{server.host}:{server.port}",
                headers={"Authorization": f"Bearer {server.key}"},
                timeout=800,
            ) as client,
        ):
            expected = "".join(stream(client))
            assert both[0].held
            assert both[1].held
            text = ""
            is_killed = False
            for piece in stream(client):
                text += piece
                if len(text) > _TEXT_BEFORE and not is_killed:
                    is_killed = True
                    both[1].end(signal.SIGKILL)
                    both[1].start()
            assert is_killed
            assert text == expected
            health = client.get("/health/detailed").json()
            metrics = client.get("/metrics").text
    (worker,) = health["workers"]
    assert worker["state"] == "ready"
    found = {each["address"]: each for each in health["rpc_servers"]}
    assert found.keys() == {each.address for each in both}
    assert both[1].address in metrics


def stream(client: httpx.Client) -> Iterator[str]:
    """Yield the pieces of a greedy answer."""
    body = {
        "model": MODEL,
        "prompt": COUNTING,
        "max_tokens": N_TOKENS,
        "temperature": 0,
        "stream": True,
    }
    with client.stream("POST", "/v1/completions", json=body) as answer:
        assert answer.status_code == 200, answer.read()
        for line in answer.iter_lines():
            data = line.removeprefix("data: ")
            if line.startswith("data: ") and data != "[DONE]":
                for choice in json.loads(data)["choices"]:
                    yield choice["text"]
