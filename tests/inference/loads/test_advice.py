"""What to do about a load that failed, by the words of llama.cpp and our own."""

from __future__ import annotations

import pytest

from inference.loads.advice import load_advice


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (
            "llama_model_load: error loading model: error loading model architecture: "
            "unknown model architecture: 'qwen9'",
            "newer LLM Manager",
        ),
        (
            "error loading model: tensor 'blk.3.ffn_up.weight' data is not within the "
            "file bounds, model is corrupted or incomplete",
            "get it again",
        ),
        ("Its file is missing. Scan again when it is back.", "Put the file back"),
        ("Its file has changed since it was scanned. Scan again to use it.", "Scan"),
        (
            "It needs at least 9.1 GiB (weights 8.0 GiB). All models together may take "
            "8.0 GiB (engine.memory_mb). It fits with n_ctx 4096.",
            "one of the settings",
        ),
        (
            "ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of "
            "size 17179869184",
            "shorter context",
        ),
        (
            "ggml_aligned_malloc: insufficient memory (attempted to allocate 17 MB)",
            "shorter context",
        ),
        ("The worker was killed by SIGKILL.", "shorter context"),
        ("Loading took longer than 600 s (engine.load_timeout).", "faster disk"),
        ("The worker was killed by SIGILL.", "compile"),
        ("The worker was killed by SIGSEGV.", "flash attention"),
        ("Something new.", "llm-manager logs --model tiny"),
    ],
)
def test_each_error_says_what_helps(error: str, word: str) -> None:
    assert word in load_advice(error, model="tiny")


def test_without_an_error_there_is_nothing_to_do() -> None:
    assert load_advice("", model="tiny") == ""
