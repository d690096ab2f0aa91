"""Loads LoRA adapters beside a model, and applies them to its contexts."""

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
    """A model's adapters, freed with it, and which of them each context applies."""

    def __init__(self, model: Any, files: Iterable[AdapterFile], log: LlamaLog) -> None:
        """Load the adapters. Raises ModelLoadError."""
        self._loaded: dict[str, Any] = {}
        #: By context; a new context applies none.
        self._applied: dict[Any, Adapters] = {}
        for file in files:
            adapter = llama_cpp.llama_adapter_lora_init(model, file.path.encode())
            if not adapter:
                raise ModelLoadError(
                    f"The adapter '{file.name}' cannot be loaded: {log.tail()}"
                )
            self._loaded[file.name] = adapter

    def forget_contexts(self) -> None:
        """Note that the contexts are freed; new ones apply none."""
        self._applied.clear()

    def apply(self, context: Any, adapters: Adapters) -> None:
        """Make a context compute its next batches with exactly these adapters."""
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
