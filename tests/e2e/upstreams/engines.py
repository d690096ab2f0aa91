"""Real inference servers on this machine, started as their users start them."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.systems.llama_server import program
from benchmarks.systems.system import HOW_TO_GET_PEERS, ROOT, free_port
from tests.shared_server import Q4_0

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.whole_server import Server

KEY = "sk-of-the-engine"
#: What each of them serves.
_APIS = ("chat", "completions", "messages", "responses")
#: vLLM loads PyTorch and compiles, on cores that others use too.
_START_S = 300
_POLL_S = 0.2
#: Where scripts/build_vllm.sh puts vLLM's environment, and a model for it.
_VLLM = Path(os.environ.get("VLLM_DIR") or ROOT / ".bench-vllm")


@dataclass(frozen=True, slots=True)
class Engine:
    """A running server: ``running`` and ``written`` are metrics of it.

    ``models`` are the names there, by API.
    """

    dialect: str
    base_url: str
    key: str
    models: dict[str, str]
    running: str
    written: str
    labels: dict[str, str] = field(default_factory=dict)

    def metric(self, name: str) -> float:
        """Return the sum of a metric now."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.metrics())
            for sample in family.samples
            if sample.name == name and self.labels.items() <= sample.labels.items()
        )

    def metrics(self) -> str:
        """Return its page of metrics."""
        page = self.get("/metrics", at=self.base_url.removesuffix("/v1"))
        page.raise_for_status()
        return page.text

    def get(self, path: str, at: str = "") -> httpx.Response:
        """GET a route of it."""
        return httpx.get((at or self.base_url) + path, **self._how())

    def post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        """POST to it directly, past the server that has it as an upstream."""
        return httpx.post(self.base_url + path, json=body, **self._how())

    def _how(self) -> dict[str, Any]:
        return {
            "headers": {"Authorization": f"Bearer {self.key}"},
            "timeout": 150,
            "trust_env": False,
        }


def missing_llama_server() -> str:
    """Return why llama-server cannot be started; "" if it can."""
    return "" if program().exists() else f"{HOW_TO_GET_PEERS}, or LLAMA_SERVER names it"


def missing_vllm() -> str:
    """Return why vLLM cannot be started; "" if it can."""
    return "" if (_VLLM / "model").exists() else "scripts/build_vllm.sh installs it"


def ours(server: Server) -> Engine:
    """The server that has the rows, as an upstream of itself."""
    return Engine(
        "llm-manager",
        f"http://{server.host}:{server.port}/v1",
        server.key,
        dict.fromkeys(_APIS, Q4_0),
        running="llm_requests_running",
        written="llm_engine_output_tokens_total",
        labels={"model": Q4_0},
    )


@contextmanager
def llama_server(model: Path, log: Path, *arguments: str) -> Iterator[Engine]:
    """Run llama.cpp's own server with a model."""
    port = free_port()
    command = [
        *(str(program()), "--model", str(model), "--alias", model.stem),
        *("--host", "127.0.0.1", "--port", str(port), "--api-key", KEY),
        *("--ctx-size", "4096", "--parallel", "2", "--metrics", "--no-webui"),
        *("--threads", "2", "--jinja", *arguments),
    ]
    apis = ("embeddings",) if "--embeddings" in arguments else _APIS
    engine = Engine(
        "llama-server",
        f"http://127.0.0.1:{port}/v1",
        KEY,
        dict.fromkeys(apis, model.stem),
        running="llamacpp:requests_processing",
        written="llamacpp:tokens_predicted_total",
    )
    with _started(command, log, engine):
        yield engine


@contextmanager
def vllm(log: Path) -> Iterator[Engine]:
    """Run vLLM on the processor."""
    arguments = (
        *("--max-num-seqs", "4", "--enable-auto-tool-choice"),
        *("--tool-call-parser", "hermes"),
    )
    with _vllm(log, _APIS, arguments) as engine:
        yield engine


@contextmanager
def vllm_vectors(log: Path) -> Iterator[Engine]:
    """Run vLLM with a model whose last states are its answers."""
    with _vllm(log, ("embeddings",), ("--runner", "pooling")) as engine:
        yield engine


@contextmanager
def _vllm(
    log: Path, apis: tuple[str, ...], arguments: tuple[str, ...]
) -> Iterator[Engine]:
    port = free_port()
    command = [
        *(str(_VLLM / "venv" / "bin" / "vllm"), "serve", str(_VLLM / "model")),
        *("--served-model-name", "sample", "--host", "127.0.0.1", "--port", str(port)),
        *("--api-key", KEY, "--max-model-len", "2048", "--enforce-eager", *arguments),
    ]
    engine = Engine(
        "vllm",
        f"http://127.0.0.1:{port}/v1",
        KEY,
        dict.fromkeys(apis, "sample"),
        running="vllm:num_requests_running",
        written="vllm:generation_tokens_total",
    )
    settings = {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    with _started(command, log, engine, **settings):
        yield engine


@contextmanager
def _started(
    command: list[str], log: Path, engine: Engine, **settings: str
) -> Iterator[None]:
    """Run a server until the end of the block, from when it lists its models."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, env=os.environ | settings, stdout=file, stderr=file
        )
    try:
        end = time.monotonic() + _START_S
        while not _answers(engine):
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(log.read_text(errors="replace")[-4000:])
            time.sleep(_POLL_S)
        yield
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(engine: Engine) -> bool:
    try:
        # llama-server lists its model before it has loaded it.
        at = engine.base_url.removesuffix("/v1")
        return engine.get("/health", at=at).status_code == 200
    except httpx.TransportError:
        return False
