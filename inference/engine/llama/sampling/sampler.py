"""Samples the tokens of one sequence."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import llama_cpp
import numpy as np

from inference.engine.errors import EngineError, GrammarError
from inference.engine.llama.sampling.logprobs import likeliest, log_softmax
from inference.engine.llama.sampling.nucleus import nucleus
from inference.engine.sampling.chain import SamplerStep, sampler_steps
from inference.engine.sampling.logprobs import TokenLogprob, TokenLogprobs
from inference.engine.sampling.params import BAN
from inference.engine.sampling.thinking_budget import ThinkingWatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from inference.engine.llama.bindings.tokenizer import LlamaTokenizer
    from inference.engine.llama.sampling.sampler_cache import SamplerCache
    from inference.engine.sampling.params import SamplingParams
    from inference.engine.structured_output.matcher import GrammarMatcher

#: struct llama_token_data
_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class SequenceSampler:
    """Chooses the tokens of one sequence from the logits of a step.

    It runs llama.cpp's sampler chain, with two shortcuts: greedy sampling needs no
    chain, and a top-p that comes first passes on only the few tokens that it keeps.
    Biases are added to the logits in place.
    """

    def __init__(
        self,
        params: SamplingParams,
        *,
        cache: SamplerCache,
        n_ctx: int,
        prompt: Sequence[int] = (),
        output: Sequence[int] = (),
    ) -> None:
        """Build the chain; it has seen ``output``, the tokens generated so far.

        With a seed it continues as if it had sampled them itself; mirostat and
        adaptive-p start again, and XTC draws as if it had always had a choice. If the
        output does not match the grammar, sampling the next token raises.
        """
        self._tokenizer = tokenizer = cache.tokenizer
        self._params = params
        self._matcher: GrammarMatcher | None = None
        self._error: EngineError | None = None
        if params.grammar is not None:
            try:
                self._matcher = cache.grammars.matcher(params.grammar, output)
            except EngineError as error:
                self._error = error
        self._biased, self._biases = _biases(params, tokenizer)
        self._ends = np.array([*tokenizer.ends, *params.stop_token_ids], np.intp)
        self._left_to_min = max(params.min_tokens - len(output), 0)
        self._logprobs: NDArray[np.float64] | None = None
        #: The tokens that the grammar forces after the newest sampled one. Always empty
        #: if each token needs logits, or some tokens are banned.
        self.forced: list[int] = []
        self._takes_forced = (
            params.logprobs is None and not np.isneginf(self._biases).any()
        )
        #: Whether sampling returns just one token and cannot fail.
        self.is_plain = params.grammar is None and params.logprobs is None
        self._row = ctypes.c_float * tokenizer.n_vocab
        steps = sampler_steps(params, n_vocab=tokenizer.n_vocab, n_ctx=n_ctx)
        self._is_greedy = steps == [SamplerStep("greedy")]
        self._top_p = 1.0
        if steps[0].name == "top_p" and params.min_keep <= 1:
            self._top_p = params.top_p
            del steps[0]
        self._chain = _new_chain()
        self._drawing = []
        for step in steps:
            sampler = _new_sampler(step, cache)
            llama_cpp.llama_sampler_chain_add(self._chain, sampler)
            if step.window:
                _replay(sampler, step, prompt, output)
            if step.draws:
                self._drawing.append(sampler)
        self._thinking: ThinkingWatch | None = None
        if params.thinking is not None:
            self._thinking = ThinkingWatch(
                params.thinking, lambda text: tokenizer.tokenize(text, special=False)
            )
        for token in output:
            self._draw()
            self._watch(token)

    def sample(self, context: Any, index: int) -> int:
        """Return the token that follows the batch's token ``index``, and accept it.

        ``forced`` then has the tokens that the grammar forces after it, also accepted.
        Raises EngineError if the grammar allows no token, or could not be compiled.
        """
        if self._error is not None:
            raise self._error
        logits = self._logits(context, index)
        if self._params.logprobs is not None:
            self._logprobs = log_softmax(logits)
        closing = None if self._thinking is None else self._thinking.forced
        if closing is None:
            token = self._sample(logits, context, index)
            self._watch(token)
        else:
            token = closing
            self.take(token)
        if self._matcher is not None:
            self._advance(self._matcher, token)
        return token

    def _advance(self, matcher: GrammarMatcher, token: int) -> None:
        if not self._takes_forced:
            matcher.accept(token)
            return
        self.forced = matcher.accept_with_forced(token)
        for each in self.forced:
            self.take(each)

    def _sample(self, logits: NDArray[np.float32], context: Any, index: int) -> int:
        """Return an allowed token. Raises GrammarError if there is none."""
        allowed = None if self._matcher is None else self._matcher.mask(logits)
        if len(self._biased):
            logits[self._biased] += self._biases
        if self._left_to_min:
            self._left_to_min -= 1
            logits[self._ends] = BAN
        token = self._choose(logits, allowed, context, index)
        if self._matcher is not None and logits[token] == BAN:
            raise GrammarError("Every token that may come next is banned.")
        return token

    def _watch(self, token: int) -> None:
        """Count a token for the thinking budget."""
        if self._thinking is not None:
            self._thinking.accept(self._tokenizer.spelling(token))

    def _choose(
        self,
        logits: NDArray[np.float32],
        allowed: NDArray[np.bool_] | None,
        context: Any,
        index: int,
    ) -> int:
        if self._is_greedy:
            return int(logits.argmax())
        if self._top_p < 1:
            return self._sample_of(nucleus(logits, self._top_p), logits)
        if allowed is not None and np.count_nonzero(allowed) < len(allowed) // 2:
            tokens = np.flatnonzero(allowed)
            return self._sample_of(tokens, logits, is_sorted=False)
        return int(llama_cpp.llama_sampler_sample(self._chain, context, index))

    @property
    def is_done(self) -> bool:
        """Whether the grammar allows nothing but the end."""
        return self._matcher is not None and self._matcher.is_done

    def take(self, token: int) -> None:
        """Accept a token that was not sampled."""
        self._left_to_min = max(self._left_to_min - 1, 0)
        self._draw()
        llama_cpp.llama_sampler_accept(self._chain, token)
        self._watch(token)

    def _draw(self) -> None:
        """Draw the random numbers of one token, as the chain would."""
        for sampler in self._drawing:
            # With two candidates each sampler draws one number, as it does with many.
            candidates = np.zeros(2, _CANDIDATE)
            array = _token_data_array(candidates, is_sorted=False)
            llama_cpp.llama_sampler_apply(sampler, ctypes.byref(array))

    def logprobs_of(self, token: int) -> TokenLogprobs | None:
        """Return the sampled token's logprob, if requested."""
        if self._logprobs is None or self._params.logprobs is None:
            return None
        return self._describe(self._logprobs, token, self._params.logprobs)

    def prompt_logprobs_of(self, context: Any, index: int, token: int) -> TokenLogprobs:
        """Return the logprob of a prompt's token, after the batch's token ``index``."""
        logprobs = log_softmax(self._logits(context, index))
        return self._describe(logprobs, token, self._params.prompt_logprobs or 0)

    def first_of_prompt(self, token: int) -> TokenLogprobs:
        """Return the first token of a prompt; its probability is given as 1."""
        return TokenLogprobs(TokenLogprob(token, self._tokenizer.spelling(token), 0.0))

    def close(self) -> None:
        """Free the chain and the grammar's state. Once."""
        if self._matcher is not None:
            self._matcher.close()
        llama_cpp.llama_sampler_free(self._chain)

    def _logits(self, context: Any, index: int) -> NDArray[np.float32]:
        """Return the logits after the batch's token ``index``: llama.cpp's own memory.

        Its samplers see what is written there.
        """
        pointer = llama_cpp.llama_get_logits_ith(context, index)
        address = ctypes.addressof(pointer.contents)
        # Because numpy.ctypeslib.as_array makes a new type each time, which takes
        # longer.
        row: Any = self._row.from_address(address)
        return np.frombuffer(row, np.float32)

    def _sample_of(
        self,
        tokens: NDArray[np.intp],
        logits: NDArray[np.float32],
        *,
        is_sorted: bool = True,
    ) -> int:
        """Sample one of these tokens; ``is_sorted`` if the most likely is first."""
        candidates = np.zeros(len(tokens), _CANDIDATE)
        candidates["id"] = tokens
        candidates["logit"] = logits[tokens]
        array = _token_data_array(candidates, is_sorted=is_sorted)
        llama_cpp.llama_sampler_apply(self._chain, ctypes.byref(array))
        token = array.data[array.selected].id
        llama_cpp.llama_sampler_accept(self._chain, token)
        return int(token)

    def _describe(
        self, logprobs: NDArray[np.float64], token: int, top: int
    ) -> TokenLogprobs:
        def describe(token: int) -> TokenLogprob:
            spelling = self._tokenizer.spelling(token)
            return TokenLogprob(token, spelling, float(logprobs[token]))

        best = tuple(describe(each) for each in likeliest(logprobs, top))
        return TokenLogprobs(describe(token), best)


def _biases(
    params: SamplingParams, tokenizer: LlamaTokenizer
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return the tokens whose logits change, once each, with summed biases."""
    total: dict[int, float] = dict.fromkeys(tokenizer.suppressed, BAN)
    if params.ignore_eos:
        total |= dict.fromkeys(tokenizer.ends, BAN)
    for token, bias in params.logit_bias:
        total[token] = total.get(token, 0.0) + bias
    for text, bias in params.logit_bias_text:
        for token in tokenizer.tokenize(text, special=False):
            total[token] = total.get(token, 0.0) + bias
    tokens = np.fromiter(total.keys(), np.intp, len(total))
    return tokens, np.fromiter(total.values(), np.float32, len(total))


def _new_chain() -> Any:
    chain_params = llama_cpp.llama_sampler_chain_default_params()
    chain_params.no_perf = True
    return llama_cpp.llama_sampler_chain_init(chain_params)


def _new_sampler(step: SamplerStep, cache: SamplerCache) -> Any:
    if step.name == "dry":
        return cache.dry.new(step.arguments)
    return getattr(llama_cpp, f"llama_sampler_init_{step.name}")(*step.arguments)


def _replay(
    sampler: Any, step: SamplerStep, prompt: Sequence[int], output: Sequence[int]
) -> None:
    """Let a sampler with a window accept the tokens so far."""
    seen = [*prompt, *output] if step.sees_prompt else output
    for token in seen[-step.window :]:
        llama_cpp.llama_sampler_accept(sampler, token)


def _token_data_array(candidates: NDArray[np.void], *, is_sorted: bool) -> Any:
    """Return llama.cpp's view of the candidates, which must outlive it."""
    data = candidates.ctypes.data_as(llama_cpp.llama_token_data_p)
    return llama_cpp.llama_token_data_array(data, len(candidates), -1, is_sorted)
