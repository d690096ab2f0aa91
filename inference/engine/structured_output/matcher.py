"""Applies grammars to sequences: which tokens of a vocabulary may come next."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from inference.engine.errors import GrammarError, InvalidRequest
from inference.engine.make_once_cache import MakeOnceCache
from inference.engine.structured_output.compiling import (
    InvalidGrammar,
    compile_grammar,
)
from inference.engine.structured_output.control_tokens import resolve_control_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from llguidance import LLMatcher, LLTokenizer
    from numpy.typing import NDArray

    from inference.engine.structured_output.grammar import Grammar

_R = TypeVar("_R")

#: How many compiled grammars are cached that no request holds, each with the lexer
#: states of its sequences: usually less than a megabyte, at most some 15.
MAX_COMPILED = 32
#: Most masks take microseconds; a second thread helps where one takes longer.
_MASK_THREADS = 2


class GrammarCompiler:
    """Compiles grammars for one vocabulary, and caches them. Any thread may use it."""

    def __init__(
        self, tokenizer: LLTokenizer, controls: Mapping[str, int | None] | None = None
    ) -> None:
        """``controls`` are the ids of control tokens by name, None for end tokens."""
        self._tokenizer = tokenizer
        self._controls = controls or {}
        # Sequences with the same grammar often arrive together; others do not wait.
        self._compiled: MakeOnceCache[object, LLMatcher] = MakeOnceCache(MAX_COMPILED)
        self._pool = ThreadPoolExecutor(_MASK_THREADS, thread_name_prefix="mask")

    def compile(self, grammar: Grammar) -> None:
        """Compile a grammar ahead. Takes milliseconds; raises InvalidRequest."""
        self._use(grammar, lambda _: None)

    def hold(self, grammar: Grammar) -> None:
        """Keep a grammar compiled until it is released."""
        self._compiled.hold(_key(grammar))

    def release(self, grammar: Grammar) -> None:
        """End one hold of a grammar."""
        self._compiled.release(_key(grammar))

    def matcher(self, grammar: Grammar, output: Sequence[int] = ()) -> GrammarMatcher:
        """Return the matcher of a sequence that has generated ``output`` so far.

        Raises InvalidRequest, or GrammarError if the output does not match.
        """
        return GrammarMatcher(
            self._use(grammar, lambda compiled: compiled.deep_copy()),
            self._pool,
            ends=frozenset(self._tokenizer.eos_tokens),
            n_vocab=self._tokenizer.vocab_size,
            output=output,
            on_error=lambda: self._forget(grammar),
        )

    def _use(self, grammar: Grammar, use: Callable[[LLMatcher], _R]) -> _R:
        return self._compiled.use(_key(grammar), partial(self._compile, grammar), use)

    def _compile(self, grammar: Grammar) -> LLMatcher:
        try:
            source = resolve_control_tokens(grammar, self._controls)
            return compile_grammar(self._tokenizer, source)
        except InvalidGrammar as error:
            raise InvalidRequest(
                f"The answer cannot be constrained: {error.message}.",
                param=grammar.param or None,
            ) from None

    def _forget(self, grammar: Grammar) -> None:
        """Drop a grammar whose shared state is full or broken."""
        self._compiled.drop(_key(grammar))


def _key(grammar: Grammar) -> object:
    """Return a key that is equal for grammars that compile alike."""
    return grammar.source, grammar.control_tokens


class GrammarMatcher:
    """The position of one sequence in its grammar.

    After a token another thread computes the next mask, while the model computes the
    next logits. Everything else runs on the engine thread.
    """

    def __init__(
        self,
        state: LLMatcher,
        pool: ThreadPoolExecutor,
        *,
        ends: frozenset[int],
        n_vocab: int,
        output: Sequence[int] = (),
        on_error: Callable[[], None] = lambda: None,
    ) -> None:
        """Start after ``output``. Raises GrammarError if it does not match."""
        self._state = state
        self._pool = pool
        self._ends = ends
        self._n_vocab = n_vocab
        self._on_error = on_error
        self._mask = np.zeros((n_vocab + 31) // 32, np.uint32)
        self._computing: Future[None] | None = None
        #: Whether only the end may follow.
        self.is_done = False
        if output and not self._state.consume_tokens(list(output)):
            raise self._failed()
        self._advance()

    def mask(self, logits: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Ban in place every token that may not come next; return the allowed ones.

        Raises GrammarError.
        """
        self._wait()
        bits = np.unpackbits(
            self._mask.view(np.uint8), count=self._n_vocab, bitorder="little"
        )
        allowed = bits.view(np.bool_)
        np.copyto(logits, -np.inf, where=~allowed)
        return allowed

    def accept(self, token: int) -> None:
        """Accept a token. Raises GrammarError if the grammar does not allow it here."""
        if self._consume(token):
            self._advance()

    def accept_with_forced(self, token: int) -> list[int]:
        """Accept a token and those that the grammar forces after it; return the latter.

        Forced tokens are not sampled (llguidance's "fast-forward tokens"). Raises
        GrammarError if the token may not come here.
        """
        if not self._consume(token):
            return []
        forced = self._state.compute_ff_tokens()
        if forced and not self._state.consume_tokens(forced):
            raise self._failed()
        self._advance()
        return forced

    def _consume(self, token: int) -> bool:
        """Accept a token; return whether something may follow."""
        self._wait()
        if not self._state.consume_token(token):
            raise self._failed()
        self.is_done = token in self._ends
        return not self.is_done

    def close(self) -> None:
        """Wait until no other thread works on it. Idempotent."""
        if self._computing is not None and not self._computing.cancel():
            self._computing.exception()

    def _advance(self) -> None:
        self.is_done = self._state.is_stopped()
        self._computing = self._pool.submit(self._compute_mask)

    def _compute_mask(self) -> None:
        # Releases the GIL. If only the end may follow, or after an error, the mask has
        # the end tokens.
        mask = self._mask
        self._state.unsafe_compute_mask_ptr(mask.ctypes.data, mask.nbytes)

    def _wait(self) -> None:
        """Wait for the mask. Raises GrammarError if there is none."""
        computing, self._computing = self._computing, None
        error: BaseException | None = None
        if computing is not None:
            # If no other thread has started on it, waiting would take longer.
            if computing.cancel():
                self._compute_mask()
            else:
                error = computing.exception()
        if error is not None or self._state.is_error():
            raise self._failed() from error

    def _failed(self) -> GrammarError:
        self._on_error()
        reason = self._state.get_error().split("\n")[0]
        return GrammarError(f"The answer's grammar cannot go on: {reason}")
