"""How much memory a worker's process really takes with a model.

``python -m tests.memory_probe`` reads an EngineConfig from standard input, imports
what a worker imports, loads the model, computes a whole context in full
micro-batches, and prints its resident memory in bytes. One sequence does: here
llama.cpp writes to all of a KV cache when it makes it, as if all cells were in use.
"""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from typing import Any

import llama_cpp
import psutil
from channels.layers import channel_layers

import inference.worker.main  # noqa: F401 - a part of what is measured
from inference.engine.config.cache_layout import first_layout
from inference.engine.config.engine_config import EngineConfig
from inference.engine.llama import LlamaEmbedder
from inference.engine.llama.bindings import loading
from inference.engine.llama.bindings.loading import load_model, make_context
from inference.engine.llama.bindings.log import LlamaLog
from inference.engine.llama.prefill_context import (
    PrefillContext,
    can_prefill_apart,
    pays,
)

#: Tokens of a made-up text; which they are does not matter.
_TOKENS = range(1000, 6000)


def main() -> None:
    """Load, compute, measure."""
    assert "cells_as_used" in vars(loading)
    vars(loading)["cells_as_used"] = nullcontext
    fields = json.load(sys.stdin)
    paths = tuple(fields.pop("paths"))
    # One thread waits for no other, however busy the machine is.
    config = EngineConfig(paths=paths, n_threads=1, **fields)
    assert channel_layers["queue"] is not channel_layers["default"]
    held = _embed(config) if config.task == "embed" else _generate(config)
    sys.stdout.write(str(psutil.Process().memory_info().rss))
    del held


def _embed(config: EngineConfig) -> Any:
    """Make the vector of one text as long as can be."""
    embedder = LlamaEmbedder(config)
    embedder.embed([[_TOKENS[n % len(_TOKENS)] for n in range(config.n_ctx)]])
    return embedder


def _generate(config: EngineConfig) -> Any:
    """Compute one sequence as long as can be."""
    log = LlamaLog()
    log.install()
    llama_cpp.llama_backend_init()
    model = load_model(config, lambda _: None, log)
    layout = first_layout(config)
    contexts = [make_context(model, config, layout, log)]
    if can_prefill_apart(model, config) and pays(layout):
        apart = PrefillContext(model, config, layout, log)
        assert apart.open()
        contexts.append(apart.context)
    for context in contexts:
        for start in range(0, layout.n_ctx, config.n_tokens_max):
            _decode(context, start, min(config.n_tokens_max, layout.n_ctx - start))
    return contexts


def _decode(context: Any, start: int, count: int) -> None:
    batch = llama_cpp.llama_batch_init(count, 0, 1)
    for index in range(count):
        batch.token[index] = _TOKENS[(start + index) % len(_TOKENS)]
        batch.pos[index] = start + index
        batch.n_seq_id[index] = 1
        batch.seq_id[index][0] = 0
        batch.logits[index] = index == count - 1
    batch.n_tokens = count
    code = llama_cpp.llama_decode(context, batch)
    assert code == 0, code
    llama_cpp.llama_batch_free(batch)


if __name__ == "__main__":
    main()
