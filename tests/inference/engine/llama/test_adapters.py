"""LoRA adapters on the sample model, against llama.cpp's API by itself."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import llama_cpp
import pytest

from inference.engine import EngineConfig, ModelLoadError
from inference.engine.config.adapters import AdapterFile, Adapters
from inference.engine.llama import LlamaBackend
from tests.inference.engine.driver import Driver
from tests.tiny_adapters import write_adapter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.model

TEXT = "Once upon a time there was a little boy who"
N_TOKENS = 12


@pytest.fixture(scope="module")
def files(
    q4_0_model_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[AdapterFile, ...]:
    folder = tmp_path_factory.mktemp("adapters")
    paths = {
        name: write_adapter(folder / f"{name}.gguf", q4_0_model_path, seed=seed)
        for seed, name in enumerate(("pirate", "poet"))
    }
    return tuple(
        AdapterFile(name, str(path), name, path.stat().st_size)
        for name, path in paths.items()
    )


def load(path: Path, **options: Any) -> LlamaBackend:
    return LlamaBackend(
        EngineConfig(
            paths=(str(path),),
            **{"n_ctx": 256, "n_seq_max": 4, "cache_type_v": "f16", **options},
        )
    )


@pytest.fixture(scope="module", params=("split", "unified"))
def backend(
    request: pytest.FixtureRequest,
    q4_0_model_path: Path,
    files: tuple[AdapterFile, ...],
) -> Iterator[LlamaBackend]:
    backend = load(q4_0_model_path, adapters=files, kv_layout=request.param)
    yield backend
    backend.close()


def prompt(backend: LlamaBackend) -> list[int]:
    return backend.tokenizer.tokenize(TEXT, special=True)


def answer(backend: LlamaBackend, adapters: Adapters) -> list[int]:
    driver = Driver(backend, ignores_end=True)
    driver.add("x", prompt(backend), N_TOKENS, adapters=adapters)
    driver.run()
    return driver.tokens["x"]


def raw_answer(path: Path, adapter_path: str, scale: float) -> list[int]:
    """Return the output of llama.cpp's own calls, one token after the other."""
    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(
        str(path).encode(), llama_cpp.llama_model_default_params()
    )
    adapter = llama_cpp.llama_adapter_lora_init(model, adapter_path.encode())
    context = llama_cpp.llama_init_from_model(
        model, llama_cpp.llama_context_default_params()
    )
    pointers = (llama_cpp.llama_adapter_lora_p_ctypes * 1)(
        ctypes.cast(adapter, llama_cpp.llama_adapter_lora_p_ctypes)
    )
    scales = (ctypes.c_float * 1)(scale)
    llama_cpp.llama_set_adapters_lora(context, pointers, 1, scales)
    vocab = llama_cpp.llama_model_get_vocab(model)
    buffer = (llama_cpp.llama_token * 256)()
    count = llama_cpp.llama_tokenize(
        vocab, TEXT.encode(), len(TEXT), buffer, 256, True, True
    )
    new, written = list(buffer[:count]), []
    for _ in range(N_TOKENS):
        array = (llama_cpp.llama_token * len(new))(*new)
        batch = llama_cpp.llama_batch_get_one(array, len(new))
        assert llama_cpp.llama_decode(context, batch) == 0
        logits = llama_cpp.llama_get_logits_ith(context, -1)
        n_vocab = llama_cpp.llama_vocab_n_tokens(vocab)
        new = [max(range(n_vocab), key=logits[:n_vocab].__getitem__)]
        written += new
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return written


def test_an_adapter_changes_the_answer_as_llama_cpp_alone_does(
    backend: LlamaBackend, q4_0_model_path: Path, files: tuple[AdapterFile, ...]
) -> None:
    plain = answer(backend, ())
    changed = answer(backend, (("pirate", 1.0),))
    assert changed != plain
    assert changed == raw_answer(q4_0_model_path, files[0].path, 1.0)
    assert answer(backend, ()) == plain, "the adapter stays with those who ask for it"


def test_requests_under_different_adapters_are_answered_as_each_alone(
    backend: LlamaBackend,
) -> None:
    wanted: dict[str, Adapters] = {
        "plain": (),
        "pirate": (("pirate", 1.0),),
        "poet": (("poet", 1.0),),
        "both": (("pirate", 0.5), ("poet", 0.5)),
    }
    alone = {name: answer(backend, adapters) for name, adapters in wanted.items()}
    assert len(set(map(tuple, alone.values()))) == len(wanted)
    driver = Driver(backend, ignores_end=True)
    for name, adapters in wanted.items():
        driver.add(name, prompt(backend), N_TOKENS, adapters=adapters)
    driver.run()
    assert driver.tokens == alone


def test_adapters_outlive_a_context_that_grows(
    q4_0_model_path: Path, files: tuple[AdapterFile, ...]
) -> None:
    backend = load(
        q4_0_model_path, adapters=files, n_ctx=64, n_ctx_max=1024, n_seq_max=2
    )
    try:
        adapters = (("pirate", 1.0),)
        small = answer(backend, adapters)
        driver = Driver(backend, ignores_end=True)
        driver.add("long", prompt(backend) * 8, 8, adapters=adapters)
        driver.run()
        assert backend.layout.n_ctx > 64
        assert answer(backend, adapters) == small
    finally:
        backend.close()


def test_an_invalid_adapter_is_named_when_the_model_is_loaded(
    q4_0_model_path: Path, tmp_path: Path
) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF and no more")
    broken = AdapterFile("broken", str(path), "f", 16)
    with pytest.raises(ModelLoadError, match="'broken'"):
        load(q4_0_model_path, adapters=(broken,))
