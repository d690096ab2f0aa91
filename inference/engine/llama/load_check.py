"""Checks whether llama.cpp can load a model, without taking the memory for it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import llama_cpp

from inference.engine.config.cache_layout import first_layout
from inference.engine.llama.bindings.loading import load_model, make_context
from inference.engine.llama.bindings.log import LlamaLog
from inference.engine.llama.embedding import LlamaEmbedder

if TYPE_CHECKING:
    from inference.engine.config.engine_config import EngineConfig


def check_load(config: EngineConfig) -> None:
    """Raise ModelLoadError if llama.cpp cannot load a model and its draft model.

    Headers and vocabularies are read and all buffers planned, but none is allocated.
    """
    if not config.is_generative:
        LlamaEmbedder(config, is_dry=True).close()
        return
    log = LlamaLog()
    log.install()
    llama_cpp.llama_backend_init()
    layout = first_layout(config)
    with ExitStack() as stack:
        for each in (config, config.of_draft_model):
            if each is not None:
                model = load_model(each, lambda _progress: None, log, is_dry=True)
                stack.callback(llama_cpp.llama_model_free, model)
                context = make_context(model, each, layout, log)
                stack.callback(llama_cpp.llama_free, context)
