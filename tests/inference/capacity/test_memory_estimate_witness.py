"""The estimate beside what llama.cpp itself says, for models of many shapes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from inference.capacity.compute_buffer import compute_bytes
from inference.capacity.kv_cache_size import (
    cache_elements,
    caches,
    kv_bytes,
    recurrent_bytes,
)
from inference.engine.config.engine_config import EngineConfig
from registry.gguf.header import parse_header
from registry.gguf.memory_shape import MemoryShape, memory_shape
from tests.model_shapes import SHAPES

pytestmark = pytest.mark.model

_ROOT = Path(__file__).resolve().parents[3]
_MIB = 2**20
#: Bounds of the estimated compute buffer over llama.cpp's own: the estimate takes the
#: widest step of a graph and leaves out the allocator.
_COMPUTE = (0.9, 1.15)
_CONTEXTS: tuple[dict[str, Any], ...] = (
    {"n_ctx": 4096, "n_seq_max": 1},
    {"n_ctx": 16_384, "n_seq_max": 1},
    {"n_ctx": 1000, "n_seq_max": 8},
    {"n_ctx": 8192, "n_seq_max": 16, "kv_layout": "unified", "n_cells": 8192},
    {"n_ctx": 8192, "n_seq_max": 4, "flash_attention": "off"},
    {"n_ctx": 4096, "n_seq_max": 2, "cache_type_k": "q8_0", "cache_type_v": "q8_0"},
    {"n_ctx": 4096, "n_seq_max": 2, "swa_full": True, "n_ubatch": 128},
)
_TYPES = {"f16": 1, "q8_0": 8}


def shape_of(path: Path) -> tuple[MemoryShape, int]:
    """Return a file's shape, and the size of its vocabulary."""
    with path.open("rb") as stream:
        header = parse_header(stream, path.stat().st_size)
    architecture = header.text("general.architecture")
    shape = memory_shape([header], architecture)
    assert shape is not None
    return shape, header.integer(f"{architecture}.vocab_size") or 0


def parameters(config: EngineConfig) -> dict[str, Any]:
    """Return what llama.cpp is given for a configuration."""
    unified = config.kv_layout == "unified"
    return {
        "n_ctx": config.n_cells if unified else config.n_ctx * config.n_seq_max,
        "n_seq_max": config.n_seq_max,
        "n_outputs_max": config.n_outputs_max,
        "n_batch": config.n_batch,
        "n_ubatch": config.n_ubatch,
        "kv_unified": unified,
        "swa_full": config.swa_full,
        "type_k": _TYPES[config.cache_type_k],
        "type_v": _TYPES[config.cache_type_v],
        "flash_attn_type": 0 if config.flash_attention == "off" else -1,
    }


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What llama.cpp says of every shape, context by context, in MiB."""
    folder = tmp_path_factory.mktemp("shapes")
    paths = {name: make(folder / f"{name}.gguf") for name, make in SHAPES.items()}
    contexts = [parameters(EngineConfig(paths=(), **each)) for each in _CONTEXTS]
    question = [[str(path), contexts] for path in paths.values()]
    process = subprocess.run(
        [sys.executable, "-m", "tests.llama_dry_run"],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        check=False,
        cwd=_ROOT,
    )
    assert process.returncode == 0, process.stderr
    answers = json.loads(process.stdout)
    return {
        name: (path, answer)
        for (name, path), answer in zip(paths.items(), answers, strict=True)
    }


@pytest.mark.parametrize("name", SHAPES)
def test_caches_are_llama_cpps_own_and_compute_buffers_nearly(
    said: dict[str, Any], name: str
) -> None:
    path, answers = said[name]
    shape, n_vocab = shape_of(path)
    assert MemoryShape.from_json(shape.as_json()) == shape
    for context, answer in zip(_CONTEXTS, answers, strict=True):
        config = EngineConfig(paths=(), **context)
        cache, kept = caches(config)[0], cache_elements(shape.blocks)
        kv = kv_bytes(kept, config, cache, shape.window) / _MIB
        recurrent = recurrent_bytes(kept, config.n_seq_max) / _MIB
        compute = compute_bytes(shape, config, cache, n_vocab=n_vocab) / _MIB
        assert kv == pytest.approx(answer["kv"], abs=0.02), context
        assert recurrent == pytest.approx(answer["recurrent"], abs=0.02), context
        low, high = _COMPUTE
        assert low <= compute / answer["compute"] <= high, context
