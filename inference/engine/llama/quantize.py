"""Requantise a model file."""

from __future__ import annotations

import llama_cpp

from inference.engine.errors import ModelLoadError
from inference.engine.llama.bindings.log import LlamaLog


def quantize(source: str, target: str, file_type: int) -> None:
    """Write ``source`` to ``target`` with another llama_ftype. Raises ModelLoadError.

    Tensors that are quantised already are quantised again.
    """
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = file_type
    params.allow_requantize = True
    log = LlamaLog()
    log.install()
    code = llama_cpp.llama_model_quantize(source.encode(), target.encode(), params)
    if code != 0:
        raise ModelLoadError(log.tail() or f"llama.cpp cannot quantise {source}.")
