"""LoRA adapters in llama.cpp: loaded beside a model, applied to its context."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import llama_cpp

from inference.engine.errors import ModelLoadError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inference.engine.config.adapters import AdapterFile, Adapters
    from inference.engine.llama.bindings.log import LlamaLog


class LlamaAdapters:
    """A model's adapters, freed with it, and those that each context applies."""

    def __init__(self, model: Any, files: Iterable[AdapterFile], log: LlamaLog) -> None:
        """Load the adapters. Raises ModelLoadError."""
        self._loaded: dict[str, Any] = {}
        #: By context; a new one applies none.
        self._applied: dict[Any, Adapters] = {}
        for file in files:
            adapter = llama_cpp.llama_adapter_lora_init(model, file.path.encode())
            if not adapter:
                raise ModelLoadError(
                    f"The adapter '{file.name}' cannot be loaded: {log.tail()}"
                )
            self._loaded[file.name] = adapter

    def forget_contexts(self) -> None:
        """Take note that the contexts are freed; new ones apply none."""
        self._applied.clear()

    def apply(self, context: Any, adapters: Adapters) -> None:
        """Make a context compute its next batches with these adapters alone."""
        if adapters == self._applied.get(context, ()):
            return
        count = len(adapters)
        pointers = (llama_cpp.llama_adapter_lora_p_ctypes * count)(
            *(
                ctypes.cast(self._loaded[name], llama_cpp.llama_adapter_lora_p_ctypes)
                for name, _ in adapters
            )
        )
        scales = (ctypes.c_float * count)(*(scale for _, scale in adapters))
        llama_cpp.llama_set_adapters_lora(context, pointers, count, scales)
        self._applied[context] = adapters
