"""Caches what the samplers of one vocabulary share and what is slow to make."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from inference.engine.llama.sampling.dry import DrySamplers
from inference.engine.llama.sampling.grammar_compiler import grammar_compiler
from inference.engine.sampling.chain import sampler_steps

if TYPE_CHECKING:
    from inference.engine.llama.bindings.tokenizer import LlamaTokenizer
    from inference.engine.sampling.params import SamplingParams
    from inference.engine.structured_output.matcher import GrammarCompiler


class SamplerCache:
    """The DRY samplers and compiled grammars of one vocabulary. Thread-safe."""

    def __init__(self, tokenizer: LlamaTokenizer) -> None:
        self.tokenizer = tokenizer
        self.dry = DrySamplers(tokenizer.vocab)

    @cached_property
    def grammars(self) -> GrammarCompiler:
        """The compiled grammars. The first use takes up to a second."""
        return grammar_compiler(self.tokenizer)

    def prepare(self, params: SamplingParams, *, n_ctx: int) -> None:
        """Prepare the slow parts of making a sampler. Any thread may call it.

        Raises InvalidRequest if the grammar names a token that the vocabulary lacks.
        """
        for step in sampler_steps(params, n_vocab=self.tokenizer.n_vocab, n_ctx=n_ctx):
            if step.name == "dry":
                self.dry.prepare(step.arguments)
        if params.grammar is not None:
            self.grammars.compile(params.grammar)

    def close(self) -> None:
        """Free it. Idempotent."""
        self.dry.close()
