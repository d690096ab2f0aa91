"""How settings reach llama.cpp: the structs that it is given."""

from __future__ import annotations

import resource
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import llama_cpp
import pytest

from inference.engine import EngineConfig, ModelLoadError
from inference.engine.config.cache_layout import first_layout
from inference.engine.llama.bindings import loading
from inference.engine.llama.bindings.log import LlamaLog
from inference.engine.llama.hardware import gpus, repacked_types

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.model


class Given(SimpleNamespace):
    """What llama.cpp was given."""

    model: Any
    context: Any


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Given:
    """Record the arguments for llama.cpp, which is not called."""
    given = Given()

    def load(_paths: Any, _count: int, params: Any) -> int:
        given.model = params
        return 1

    def make(_model: Any, params: Any) -> int:
        given.context = params
        return 1

    monkeypatch.setattr(llama_cpp, "llama_model_load_from_splits", load)
    monkeypatch.setattr(llama_cpp, "llama_init_from_model", make)
    return given


def load(**fields: Any) -> None:
    config = EngineConfig(paths=("m.gguf",), n_ctx=1024, n_seq_max=2, **fields)
    log = LlamaLog()
    loading.load_model(config, lambda _: None, log)
    loading.make_context(1, config, first_layout(config), log)


def test_the_defaults_are_llama_cpps(given: Given) -> None:
    load()
    model, default = given.model, llama_cpp.llama_model_default_params()
    for name in ("n_gpu_layers", "split_mode", "load_mode", "main_gpu"):
        assert getattr(model, name) == getattr(default, name), name
    assert not any(model.tensor_split[: llama_cpp.llama_max_devices()])
    context = given.context
    assert (context.type_k, context.type_v) == (1, 1)
    assert (context.n_ctx, context.n_seq_max, context.kv_unified) == (2048, 2, False)
    assert not context.swa_full
    assert context.n_threads == context.n_threads_batch > 0


def test_gpus_are_shared_as_configured(given: Given) -> None:
    load(n_gpu_layers=7, split_mode="row", tensor_split=(3.0, 1.0))
    assert (given.model.n_gpu_layers, given.model.split_mode) == (7, 2)
    assert given.model.tensor_split[:3] == [3.0, 1.0, 0.0]
    load(split_mode="none", main_gpu=2)
    assert (given.model.split_mode, given.model.main_gpu) == (0, 2)


@pytest.mark.parametrize(
    ("use_mmap", "use_mlock", "mode"),
    [
        (True, False, llama_cpp.LLAMA_LOAD_MODE_AUTO),
        (False, False, llama_cpp.LLAMA_LOAD_MODE_NONE),
        (True, True, llama_cpp.LLAMA_LOAD_MODE_MMAP_MLOCK),
        (False, True, llama_cpp.LLAMA_LOAD_MODE_MLOCK),
    ],
)
def test_files_are_mapped_and_locked_as_configured(
    given: Given,
    monkeypatch: pytest.MonkeyPatch,
    use_mmap: bool,
    use_mlock: bool,
    mode: int,
) -> None:
    monkeypatch.setattr(loading, "_check_mlock", lambda _config: None)
    load(use_mmap=use_mmap, use_mlock=use_mlock)
    assert given.model.load_mode == mode


def test_a_model_that_may_not_be_locked_is_refused(
    given: Given, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(bytes(2000))
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (1000, 1000))
    config = EngineConfig(paths=(str(file),), n_ctx=256, n_seq_max=1, use_mlock=True)
    with pytest.raises(ModelLoadError, match=r"may lock 1000 \(ulimit -l\)"):
        loading.load_model(config, lambda _: None, LlamaLog())
    assert not hasattr(given, "model")


def test_the_numa_strategy_is_set_before_the_model_is_loaded(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    strategies: list[int] = []
    monkeypatch.setattr(llama_cpp, "llama_numa_init", strategies.append)
    load()
    assert strategies == []
    load(numa="distribute")
    assert strategies == [llama_cpp.GGML_NUMA_STRATEGY_DISTRIBUTE]


def test_the_cache_is_as_configured(given: Given) -> None:
    load(
        cache_type_k="q8_0",
        cache_type_v="q4_0",
        flash_attention="on",
        kv_layout="unified",
        n_cells=5120,
        swa_full=True,
        n_batch=256,
        n_ubatch=64,
        n_threads=3,
        n_threads_batch=5,
    )
    context = given.context
    assert (context.type_k, context.type_v, context.flash_attn_type) == (8, 2, 1)
    assert (context.n_ctx, context.kv_unified, context.swa_full) == (5120, True, True)
    assert (context.n_batch, context.n_ubatch) == (256, 64)
    assert (context.n_threads, context.n_threads_batch) == (3, 5)


# Hardware ------------------------------------------------------------------------


def test_gpus_are_llama_cpps_own() -> None:
    supported = llama_cpp.llama_supports_gpu_offload()
    assert bool(gpus()) == supported
    assert all(0 < gpu["free"] <= gpu["total"] for gpu in gpus())


@pytest.mark.parametrize(
    ("info", "types"),
    [
        (
            "CPU : AVX2 = 1 | REPACK = 1 | ",
            ["IQ4_NL", "MXFP4", "Q4_0", "Q4_K"],
        ),
        ("CPU : AVX2 = 1 | AVX512 = 1 | REPACK = 1 | ", None),
        ("CPU : AVX2 = 1 | ", []),
        ("CPU : SSE3 = 1 | REPACK = 1 | ", []),
        ("CPU : NEON = 1 | DOTPROD = 1 | REPACK = 1 | ", None),
    ],
)
def test_what_is_repacked_follows_the_processor(
    info: str, types: list[str] | None
) -> None:
    found = repacked_types(info)
    if types is None:
        assert {"Q2_K" if "AVX512" in info else "Q8_0", "Q4_0"} <= set(found)
    else:
        assert found == types
