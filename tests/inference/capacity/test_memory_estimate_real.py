"""The estimate beside what processes really take: resident memory, when warm."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from inference.capacity.machine import Machine
from inference.capacity.memory_estimate import estimate_memory
from inference.engine.config.engine_config import EngineConfig
from inference.engine.llama.hardware import repacked_types
from registry.gguf.header import SkippedValue, parse_header
from registry.gguf.memory_shape import memory_shape

if TYPE_CHECKING:
    from inference.capacity.memory_estimate import MemoryEstimate

pytestmark = pytest.mark.model

_ROOT = Path(__file__).resolve().parents[3]


def estimated(path: Path, config: EngineConfig) -> MemoryEstimate:
    """Return the estimate for this machine."""
    import llama_cpp

    with path.open("rb") as stream:
        header = parse_header(stream, path.stat().st_size)
    shape = memory_shape([header], header.text("general.architecture"))
    tokens = header.fields["tokenizer.ggml.tokens"]
    assert shape is not None
    assert isinstance(tokens, SkippedValue)
    repacks = repacked_types(llama_cpp.llama_print_system_info().decode())
    machine = Machine(repacks=frozenset(repacks))
    return estimate_memory(shape, config, machine, n_vocab=tokens.count)


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        pytest.param(
            "sample_model_path",
            {"n_ctx": 512, "n_seq_max": 8},
            id="split",
            marks=pytest.mark.long,
        ),
        pytest.param("q4_0_model_path", {"n_ctx": 1024, "n_seq_max": 2}, id="repacked"),
        pytest.param(
            "sample_model_path",
            {
                "n_ctx": 1024,
                "n_seq_max": 16,
                "kv_layout": "unified",
                "n_cells": 8192,
                "cache_type_k": "q8_0",
                "cache_type_v": "q8_0",
            },
            id="unified",
            marks=pytest.mark.long,
        ),
        pytest.param(
            "q4_0_model_path",
            {"n_ctx": 512, "n_seq_max": 16, "use_mmap": False},
            id="read",
            marks=pytest.mark.long,
        ),
        pytest.param(
            "embedding_model_path",
            {"n_ctx": 512, "n_seq_max": 8, "task": "embed"},
            id="embedding",
        ),
    ],
)
def test_the_estimate_is_within_a_tenth_of_resident_memory(
    request: pytest.FixtureRequest, model: str, settings: dict[str, Any]
) -> None:
    path: Path = request.getfixturevalue(model)
    process = subprocess.run(
        [sys.executable, "-m", "tests.memory_probe"],
        input=json.dumps({"paths": [str(path)], **settings}),
        capture_output=True,
        text=True,
        check=False,
        cwd=_ROOT,
    )
    assert process.returncode == 0, process.stderr
    config = EngineConfig(paths=(str(path),), **settings)
    found = estimated(path, config)
    assert found.resident == pytest.approx(int(process.stdout), rel=0.1), found
