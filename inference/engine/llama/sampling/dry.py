"""Prepares DRY samplers: a new one compares its breakers with all tokens."""

from __future__ import annotations

import ctypes
from functools import partial
from typing import Any

import llama_cpp

from inference.engine.make_once_cache import MakeOnceCache

#: How many prototypes are kept that no request holds. One with eight breakers may take
#: ten megabytes.
_KEPT = 8


class DrySamplers:
    """Makes DRY samplers by copying prototypes. Thread-safe.

    Making one takes ten milliseconds to seconds, which would delay a step; copying it
    takes milliseconds. llama.cpp makes it without the GIL.
    """

    def __init__(self, vocab: Any) -> None:
        self._vocab = vocab
        #: By the arguments of a SamplerStep.
        self.prototypes: MakeOnceCache[tuple[Any, ...], Any] = MakeOnceCache(
            _KEPT, free=llama_cpp.llama_sampler_free
        )

    def prepare(self, arguments: tuple[Any, ...]) -> None:
        """Make the prototype with these arguments of a SamplerStep."""
        self.prototypes.use(arguments, partial(self._make, arguments), lambda _: None)

    def new(self, arguments: tuple[Any, ...]) -> Any:
        """Return a sampler, which the caller owns; quick if it was prepared."""
        return self.prototypes.use(
            arguments, partial(self._make, arguments), llama_cpp.llama_sampler_clone
        )

    def close(self) -> None:
        """Free what is kept. Idempotent."""
        self.prototypes.clear()

    def _make(self, arguments: tuple[Any, ...]) -> Any:
        *numbers, breakers = arguments
        texts = [text.encode() for text in breakers]
        array = (ctypes.c_char_p * len(texts))(*texts)
        return llama_cpp.llama_sampler_init_dry(
            self._vocab, *numbers, array, len(texts)
        )
