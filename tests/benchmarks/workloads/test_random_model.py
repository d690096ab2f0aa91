"""A model of random weights is one that llama.cpp loads and computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.workloads.random_model import (
    FILE_TYPES,
    ModelShape,
    write_random_model,
)

if TYPE_CHECKING:
    from pathlib import Path

#: As small as blocks of 256 weights allow.
TINY = ModelShape("tiny", 8, 256, 4, 2, 256, 512)


@pytest.mark.model
@pytest.mark.parametrize("quantization", list(FILE_TYPES))
def test_it_is_loaded_and_writes_text(tmp_path: Path, quantization: str) -> None:
    from inference.engine import EngineConfig
    from inference.engine.llama import LlamaBackend
    from tests.inference.engine.driver import Driver

    file = tmp_path / "model.gguf"
    write_random_model(file, TINY, quantization)
    backend = LlamaBackend(EngineConfig(paths=(str(file),), n_ctx=256, n_seq_max=1))
    prompt = backend.tokenizer.tokenize("time year", special=True)
    # Each character is a token, after the blank in front and what begins a text.
    assert len(prompt) == len(" time year") + 1
    driver = Driver(backend, ignores_end=True)
    assert len(driver.answer("a", prompt, 4)) == 4
    backend.close()
