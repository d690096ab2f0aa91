"""Prepares DRY samplers: a new one compares its breakers with all tokens."""

from __future__ import annotations

import ctypes
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import llama_cpp

from inference.engine.errors import InvalidRequest
from inference.engine.llama.sampling.breaker_cost import BreakerCost
from inference.engine.make_once_cache import MakeOnceCache

if TYPE_CHECKING:
    from inference.engine.llama.bindings.tokenizer import LlamaTokenizer

#: How many prototypes are kept that no request holds. One with eight breakers may take
#: ten megabytes.
_KEPT = 8
#: The most tokenizations for the breakers of one sampler: some two seconds and 20 MB.
#: Eight names cost a thousand, eight words of English some 40,000 with 49,152 tokens.
MAX_BREAKER_COST = 100_000


class DrySamplers:
    """Makes DRY samplers by copying prototypes. Thread-safe.

    Making one takes ten milliseconds to seconds, which would delay a step; copying it
    takes milliseconds. llama.cpp makes it without the GIL.
    """

    def __init__(self, tokenizer: LlamaTokenizer) -> None:
        self._tokenizer = tokenizer
        #: By the arguments of a SamplerStep.
        self.prototypes: MakeOnceCache[tuple[Any, ...], Any] = MakeOnceCache(
            _KEPT, free=llama_cpp.llama_sampler_free
        )

    def prepare(self, arguments: tuple[Any, ...]) -> None:
        """Make the prototype with these arguments of a SamplerStep.

        Raises InvalidRequest if the breakers cost too much.
        """
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
        self._check_cost(texts)
        array = (ctypes.c_char_p * len(texts))(*texts)
        return llama_cpp.llama_sampler_init_dry(
            self._tokenizer.vocab, *numbers, array, len(texts)
        )

    @cached_property
    def _cost(self) -> BreakerCost:
        tokens = range(self._tokenizer.n_vocab)
        return BreakerCost(map(self._tokenizer.spelling, tokens))

    def _check_cost(self, breakers: list[bytes]) -> None:
        # One byte has no rest that would be tokenized.
        cost = sum(self._cost.of(text) for text in breakers if len(text) > 1)
        if cost > MAX_BREAKER_COST:
            raise InvalidRequest(
                f"{cost:,} tokens of this model overlap with the beginnings of the "
                f"sequence breakers; at most {MAX_BREAKER_COST:,} may. Use fewer or "
                "rarer ones, such as line ends and names.",
                param="dry_sequence_breakers",
            )
