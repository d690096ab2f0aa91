"""What to do about a load that failed, by the words of its error. Pure."""

from __future__ import annotations

import re

_MEMORY = (
    "Give it less: a shorter context, a smaller KV type, fewer sequences, or a smaller "
    "quantization of the model; or unload others first."
)
#: What an error says, and what helps; the first that matches counts. The words are
#: llama.cpp's (src/llama-model-loader.cpp, src/llama-model.cpp, ggml) and our own.
_ADVICE = tuple(
    (re.compile(pattern, re.IGNORECASE), advice)
    for pattern, advice in (
        (
            r"unknown model architecture|unknown (?:pre-)?tokenizer|"
            r"unknown (?:vocab|projector|tensor) type|invalid ggml type",
            "This llama.cpp does not know the model yet: install a newer LLM Manager, "
            "or use another file of it.",
        ),
        (
            r"within the file bounds|corrupted or incomplete|invalid magic|"
            r"failed to read|unexpected(?:ly reached)? end|"
            r"tensor .* (?:not found|wrong shape)|wrong number of tensors",
            "The file is damaged or not complete: get it again, then scan.",
        ),
        (r"changed since it was scanned", "Scan the models directories."),
        (
            r"file is missing|no such file|failed to open",
            "Put the file back, with all its shards, then scan.",
        ),
        (
            r"permission denied",
            "Let the user that runs the engine read the file.",
        ),
        (r"It fits ", "Change one of the settings that the error names."),
        (
            r"needs at least|out of memory|insufficient memory|failed to allocate|"
            r"unable to allocate|cannot allocate|SIGKILL|KV memory",
            _MEMORY,
        ),
        (
            r"load_timeout",
            "Raise engine.load_timeout, or put the file on a faster disk.",
        ),
        (
            r"SIGILL",
            "llama.cpp was compiled for another processor: compile "
            "llama-cpp-python on this machine.",
        ),
        (
            r"cannot be started",
            "The machine can start no more processes: look at its memory and limits.",
        ),
        (
            r"lora|adapter",
            "Take the adapter off the model, or attach one that was made for it.",
        ),
        (
            r"tensor_split|main_gpu|split_mode|gpu",
            "Check the GPU settings of the model; without layers on GPUs it runs on "
            "the processor.",
        ),
        (
            r"SIG(?:SEGV|ABRT|BUS|FPE)",
            "llama.cpp crashed: try without flash attention and without GPU layers, "
            "and report it to llama.cpp with the lines above.",
        ),
    )
)
_ELSE = "The log has more: llm-manager logs --model"


def load_advice(error: str, *, model: str) -> str:
    """Return what to do about a load that failed; "" without an error."""
    if not error:
        return ""
    for words, advice in _ADVICE:
        if words.search(error):
            return advice
    return f"{_ELSE} {model}"
