"""One real server for all the tests that only talk to it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.checkout import EMBEDDING_MODEL
from tests.tiny_reranker import write_tiny_reranker
from tests.whole_server import Server, put_models, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Q4_0 = "SmolLM2-135M-Instruct.Q4_0"
Q4_1 = "SmolLM2-135M-Instruct.Q4_1"
EMBEDDER = EMBEDDING_MODEL.stem
RERANKER = "tiny-reranker"


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with models in it: two for chats, and for vectors and scores."""
    folder = tmp_path_factory.mktemp("server")
    put_models(folder / "models")
    write_tiny_reranker(folder / "models" / f"{RERANKER}.gguf")
    if EMBEDDING_MODEL.exists():
        shutil.copy(EMBEDDING_MODEL, folder / "models")
    return folder


@pytest.fixture(scope="session")
def server(data_dir: Path) -> Iterator[Server]:
    """A running server that may have one model loaded at a time."""
    with running(
        data_dir,
        DJANGO_SETTINGS_MODULE="llm_manager.settings",
        LLM_MANAGER_LOGGING_LEVEL="info",
        LLM_MANAGER_ENGINE_MAX_MODELS="1",
        LLM_MANAGER_ENGINE_N_SEQ_MAX="8",
        LLM_MANAGER_MODELS_DEFAULT_CTX="2048",
        LLM_MANAGER_API_OLLAMA="true",
        # It is an upstream of its own, too.
        LLM_MANAGER_UPSTREAMS_PRIVATE_HOSTS="127.0.0.1",
    ) as server:
        yield server


def client_of(server: Server) -> httpx.Client:
    """Return an HTTP client with the key of the server."""
    return httpx.Client(
        base_url=f"http://{server.host}:{server.port}",
        headers={"Authorization": f"Bearer {server.key}"},
        timeout=150,
        # A proxy of the machine has no business between two local processes.
        trust_env=False,
    )


@pytest.fixture
def api(server: Server) -> Iterator[httpx.Client]:
    """An HTTP client with the key of the server."""
    with client_of(server) as client:
        yield client
