"""Prepares DRY samplers: a new one compares its breakers with all tokens."""

from __future__ import annotations

import ctypes
import threading
from collections import OrderedDict
from typing import Any

import llama_cpp

#: How many prototypes are kept. One with eight breakers may take ten megabytes.
_KEPT = 8


class DrySamplers:
    """Makes DRY samplers by copying prototypes. Thread-safe.

    Making one takes ten milliseconds to seconds, which would delay a step; copying it
    takes less than a millisecond.
    """

    def __init__(self, vocab: Any) -> None:
        self._vocab = vocab
        self._lock = threading.Lock()
        self._prototypes: OrderedDict[tuple[Any, ...], Any] = OrderedDict()

    def prepare(self, arguments: tuple[Any, ...]) -> None:
        """Make the prototype with these arguments of a SamplerStep."""
        with self._lock:
            if arguments in self._prototypes:
                self._prototypes.move_to_end(arguments)
                return
        # Without the lock: the engine thread copies others meanwhile.
        prototype = self._make(arguments)
        with self._lock:
            unwanted = self._prototypes.pop(arguments, None)
            self._prototypes[arguments] = prototype
            if len(self._prototypes) > _KEPT:
                unwanted = self._prototypes.popitem(last=False)[1]
            llama_cpp.llama_sampler_free(unwanted)

    def new(self, arguments: tuple[Any, ...]) -> Any:
        """Return a sampler, which the caller owns; quick if it was prepared."""
        self.prepare(arguments)
        with self._lock:
            if arguments in self._prototypes:
                return llama_cpp.llama_sampler_clone(self._prototypes[arguments])
        return self._make(arguments)

    def close(self) -> None:
        """Free what is kept. Idempotent."""
        with self._lock:
            while self._prototypes:
                llama_cpp.llama_sampler_free(self._prototypes.popitem()[1])

    def _make(self, arguments: tuple[Any, ...]) -> Any:
        *numbers, breakers = arguments
        texts = [text.encode() for text in breakers]
        array = (ctypes.c_char_p * len(texts))(*texts)
        return llama_cpp.llama_sampler_init_dry(
            self._vocab, *numbers, array, len(texts)
        )
