"""Loads the vocabularies of model files without the weights."""

from __future__ import annotations

import ctypes
from collections import OrderedDict
from typing import TYPE_CHECKING

import llama_cpp

from inference.engine.errors import ModelLoadError
from inference.engine.llama.bindings.log import LlamaLog
from inference.engine.llama.bindings.tokenizer import LlamaTokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

#: How many stay loaded. Each takes up to 100 MiB of memory, and a second to load.
_KEPT = 4


class Vocabularies:
    """A cache of the vocabularies of model files; frees the least recently used."""

    def __init__(self) -> None:
        self._log = LlamaLog()
        self._log.install()
        llama_cpp.llama_backend_init()
        self._loaded: OrderedDict[tuple[str, ...], tuple[Any, LlamaTokenizer]] = (
            OrderedDict()
        )

    def of(self, paths: Sequence[str]) -> LlamaTokenizer:
        """Return the vocabulary of a model's files. Raises ModelLoadError."""
        key = tuple(paths)
        if key not in self._loaded:
            while len(self._loaded) >= _KEPT:
                llama_cpp.llama_model_free(self._loaded.popitem(last=False)[1][0])
            model = self._load(key)
            vocab = llama_cpp.llama_model_get_vocab(model)
            self._loaded[key] = model, LlamaTokenizer(vocab)
        self._loaded.move_to_end(key)
        return self._loaded[key][1]

    def close(self) -> None:
        """Free all. Idempotent."""
        while self._loaded:
            llama_cpp.llama_model_free(self._loaded.popitem()[1][0])

    def _load(self, paths: tuple[str, ...]) -> Any:
        params = llama_cpp.llama_model_default_params()
        params.vocab_only = True
        array = (ctypes.c_char_p * len(paths))(*(path.encode() for path in paths))
        model = llama_cpp.llama_model_load_from_splits(array, len(paths), params)
        if not model:
            raise ModelLoadError(
                self._log.tail() or f"llama.cpp cannot read {paths[0]}."
            )
        return model
