"""Caches what the samplers of one vocabulary share and what is slow to make."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING, Any

from inference.engine.llama.sampling.dry import DrySamplers
from inference.engine.llama.sampling.grammar_compiler import grammar_compiler
from inference.engine.sampling.chain import sampler_steps

if TYPE_CHECKING:
    from inference.engine.llama.bindings.tokenizer import LlamaTokenizer
    from inference.engine.sampling.params import SamplingParams
    from inference.engine.structured_output.grammar import Grammar
    from inference.engine.structured_output.matcher import GrammarCompiler


class SamplerCache:
    """The DRY samplers and compiled grammars of one vocabulary. Thread-safe."""

    def __init__(self, tokenizer: LlamaTokenizer) -> None:
        self.tokenizer = tokenizer
        self.dry = DrySamplers(tokenizer)
        self._grammars_lock = threading.Lock()
        #: What each prepared request holds: arguments of DRY samplers, and a grammar.
        self._held: dict[str, tuple[list[tuple[Any, ...]], Grammar | None]] = {}

    @property
    def grammars(self) -> GrammarCompiler:
        """The compiled grammars. The first use takes up to a second."""
        # From Python 3.12 on the property alone may run twice.
        with self._grammars_lock:
            return self._grammars

    @cached_property
    def _grammars(self) -> GrammarCompiler:
        return grammar_compiler(self.tokenizer)

    def prepare(self, request_id: str, params: SamplingParams, *, n_ctx: int) -> None:
        """Prepare the slow parts of making a sampler, and hold them for the request.

        Any thread may call it. Raises InvalidRequest if the grammar names a token that
        the vocabulary lacks, or if DRY breakers cost too much; then nothing is held.
        """
        steps = sampler_steps(params, n_vocab=self.tokenizer.n_vocab, n_ctx=n_ctx)
        dry = [step.arguments for step in steps if step.name == "dry"]
        self._hold(request_id, dry, params.grammar)
        try:
            for arguments in dry:
                self.dry.prepare(arguments)
            if params.grammar is not None:
                self.grammars.compile(params.grammar)
        except BaseException:
            self.release(request_id)
            raise

    def _hold(
        self, request_id: str, dry: list[tuple[Any, ...]], grammar: Grammar | None
    ) -> None:
        for arguments in dry:
            self.dry.prototypes.hold(arguments)
        if grammar is not None:
            self.grammars.hold(grammar)
        self._held[request_id] = dry, grammar

    def release(self, request_id: str) -> None:
        """Hold a request's samplers no longer. Idempotent."""
        dry, grammar = self._held.pop(request_id, ([], None))
        for arguments in dry:
            self.dry.prototypes.release(arguments)
        if grammar is not None:
            self.grammars.release(grammar)

    def close(self) -> None:
        """Free it. Idempotent."""
        self.dry.close()
