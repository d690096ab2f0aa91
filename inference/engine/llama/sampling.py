"""The sampler of one sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import llama_cpp

from inference.engine.sampler import sampler_steps

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inference.engine.llama.tokenizer import LlamaTokenizer
    from inference.engine.sampling_params import SamplingParams


class SequenceSampler:
    """Chooses the tokens of one sequence from the logits of a step."""

    def __init__(
        self,
        params: SamplingParams,
        *,
        tokenizer: LlamaTokenizer,
        n_ctx: int,
        output: Iterable[int] = (),
    ) -> None:
        """Build the chain; it has seen ``output``, the tokens generated so far."""
        self._chain = _chain(params, n_vocab=tokenizer.n_vocab, n_ctx=n_ctx)
        for token in output:
            llama_cpp.llama_sampler_accept(self._chain, token)

    def sample(self, context: Any, index: int) -> int:
        """Return the token that follows the batch's token ``index``; it counts."""
        return int(llama_cpp.llama_sampler_sample(self._chain, context, index))

    def close(self) -> None:
        """Free the chain. Once."""
        llama_cpp.llama_sampler_free(self._chain)


def _chain(params: SamplingParams, *, n_vocab: int, n_ctx: int) -> Any:
    chain_params = llama_cpp.llama_sampler_chain_default_params()
    chain_params.no_perf = True
    chain = llama_cpp.llama_sampler_chain_init(chain_params)
    for step in sampler_steps(params, n_vocab=n_vocab, n_ctx=n_ctx):
        if step.name == "logit_bias":
            sampler = _logit_bias(params, n_vocab)
        else:
            make = getattr(llama_cpp, f"llama_sampler_init_{step.name}")
            sampler = make(*step.arguments)
        llama_cpp.llama_sampler_chain_add(chain, sampler)
    return chain


def _logit_bias(params: SamplingParams, n_vocab: int) -> Any:
    biases = [llama_cpp.llama_logit_bias(*pair) for pair in params.logit_bias]
    array = (llama_cpp.llama_logit_bias * len(biases))(*biases)
    return llama_cpp.llama_sampler_init_logit_bias(n_vocab, len(biases), array)
