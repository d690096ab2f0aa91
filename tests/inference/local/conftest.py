"""Managers: with scripted models, and with the sample model."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from inference.capacity.machine import Machine
from llm_manager import LLMManager
from tests.gguf_files import bert_fields, llama_fields, write_gguf
from tests.inference.engine.fakes import FakeBackend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    """A folder with a chat model, a smaller one in a folder, and an embedding model."""
    write_gguf(tmp_path / "large.gguf", llama_fields())
    (tmp_path / "more").mkdir()
    write_gguf(tmp_path / "more" / "small.gguf", llama_fields())
    write_gguf(tmp_path / "vectors.gguf", bert_fields())
    return tmp_path


@pytest.fixture
def backend() -> FakeBackend:
    """The scripted model that the first load returns; the next ones are like it."""
    return FakeBackend(n_seq_max=4, n_ctx=4096)


@pytest.fixture
def manager(
    models_dir: Path, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LLMManager]:
    """A manager whose models are scripted and run in this process."""

    async def no_gpus() -> Machine:
        return Machine()

    made = [backend]

    def load(_: object) -> FakeBackend:
        return made.pop() if made else FakeBackend(n_seq_max=4, n_ctx=4096)

    monkeypatch.setattr("inference.local.workers.llama_loader", lambda _: load)
    monkeypatch.setattr("inference.local.loaded_models.machine_probe", no_gpus)
    with LLMManager(models_dir, use_subprocess=False) as manager:
        yield manager


@pytest.fixture(scope="session")
def sample_dir(
    sample_model_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with the sample model."""
    folder = tmp_path_factory.mktemp("sample")
    shutil.copy(sample_model_path, folder)
    return folder


@pytest.fixture(scope="module")
def sample(sample_dir: Path) -> Iterator[LLMManager]:
    """A manager with the sample model, in a process of its own."""
    with LLMManager(sample_dir) as manager:
        manager.load_model(
            "SmolLM2-135M-Instruct.Q4_1", config={"n_ctx": 1024, "n_seq_max": 4}
        )
        yield manager
