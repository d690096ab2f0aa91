"""What llama.cpp itself says that models and contexts take, allocating nothing.

``python -m tests.llama_dry_run`` reads ``[path, [parameters, ...]]`` for each model
from standard input and prints, for each context, the MiB of its buffers. It is a
process of its own because llama.cpp writes it to its log, and a process has only one.
"""

from __future__ import annotations

import ctypes
import json
import re
import sys
from typing import Any

import llama_cpp

_BUFFERS = {
    "kv": r"llama_kv_cache: size = +([\d.]+) MiB",
    "recurrent": r"RS buffer size = +([\d.]+) MiB",
    "compute": r"compute buffer size = +([\d.]+) MiB",
}


def main() -> None:
    """Answer the question on standard input."""
    said: list[str] = []
    keep = llama_cpp.llama_log_callback(lambda _l, text, _d: said.append(text.decode()))
    llama_cpp.llama_log_set(keep, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    answers = []
    for path, contexts in json.load(sys.stdin):
        model = _load(path)
        assert model, "".join(said[-8:])
        answers.append([_measure(model, context, said) for context in contexts])
        llama_cpp.llama_model_free(model)
    json.dump(answers, sys.stdout)


def _load(path: str) -> Any:
    params = llama_cpp.llama_model_default_params()
    params.no_alloc = True
    # It allocates nothing only if it does not map the file.
    params.load_mode = llama_cpp.LLAMA_LOAD_MODE_NONE
    return llama_cpp.llama_model_load_from_file(path.encode(), params)


def _measure(model: Any, context: dict[str, Any], said: list[str]) -> dict[str, float]:
    params = llama_cpp.llama_context_default_params()
    for name, value in context.items():
        setattr(params, name, value)
    said.clear()
    made = llama_cpp.llama_init_from_model(model, params)
    assert made, "".join(said[-8:])
    llama_cpp.llama_free(made)
    log = "".join(said)
    return {
        name: sum(float(size) for size in re.findall(pattern, log))
        for name, pattern in _BUFFERS.items()
    }


if __name__ == "__main__":
    main()
