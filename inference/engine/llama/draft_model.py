"""The draft model: a small model that proposes the next tokens of a large one.

After llama.cpp's ``common_speculative_impl_draft_simple``. It differs in how the two
are synchronized: this one is not informed which tokens were accepted, nor of
preemptions and copies. It compares the tokens in its cells with the sequence's, drops
those that differ, and computes the missing ones.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import llama_cpp
import numpy as np

from inference.engine.errors import DecodeError, ModelLoadError
from inference.engine.llama.bindings.batch import LlamaBatch
from inference.engine.llama.bindings.loading import load_model, make_context
from inference.engine.llama.bindings.tokenizer import LlamaTokenizer
from inference.engine.scheduling.pacing.step_times import StepTimes
from inference.engine.speculative.verification import num_agreed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from inference.engine.config.cache_layout import CacheLayout
    from inference.engine.config.engine_config import EngineConfig
    from inference.engine.llama.bindings.log import LlamaLog
    from inference.engine.sequence import Sequence

#: Vocabularies are padded for the hardware; this is llama.cpp's limit of that.
_MAX_SIZE_DIFFERENCE = 128
#: Passes of the warm-up, the fastest of which counts.
_WARM_UP_PASSES = 3


@dataclass(slots=True)
class _SlotTokens:
    """The content of a slot's cells: ``tokens`` of the request ``name``.

    The first ``agreed`` of them are certainly the sequence's.
    """

    name: str
    tokens: list[int] = field(default_factory=list)
    agreed: int = 0


class LlamaDraftModel:
    """The draft model's weights and context; its slots are the target's.

    So they are contiguous where the target's are, which keeps llama.cpp's micro-batches
    whole.
    """

    def __init__(
        self,
        config: EngineConfig,
        layout: CacheLayout,
        *,
        tokenizer: LlamaTokenizer,
        log: LlamaLog,
    ) -> None:
        """Load it; ``config`` is its own, ``tokenizer`` the target's.

        Raises ModelLoadError if it cannot draft for the target.
        """
        self._config = config
        self._log = log
        self._tokenizer = tokenizer
        self._held: dict[int, _SlotTokens] = {}
        self._times = StepTimes()
        with ExitStack() as stack:
            self._model = load_model(config, lambda _progress: None, log)
            stack.callback(llama_cpp.llama_model_free, self._model)
            _check(self._model, tokenizer)
            self._n_ctx_train: int = llama_cpp.llama_model_n_ctx_train(self._model)
            self._batch = LlamaBatch(config.n_batch)
            stack.callback(self._batch.close)
            self._context: Any = None
            self.resize(layout)
            stack.callback(self.free_context)
            self._owned = stack.pop_all()
        vocab = llama_cpp.llama_model_get_vocab(self._model)
        self._n_vocab: int = llama_cpp.llama_vocab_n_tokens(vocab)

    def resize(self, layout: CacheLayout) -> None:
        """Replace the KV cache by an empty one. Raises ModelLoadError, without one."""
        self.free_context()
        self._context = make_context(self._model, self._config, layout, self._log)
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._layout = layout

    def free_context(self) -> None:
        """Free the KV cache; nothing can be drafted until ``resize``."""
        self._held.clear()
        if self._context is not None:
            llama_cpp.llama_free(self._context)
        self._context = None

    # Guesses ------------------------------------------------------------------

    def can_follow(self, sequence: Sequence) -> bool:
        """Whether its training context is long enough for the sequence.

        It has no projector: it reads no images.
        """
        return (
            self._context is not None
            and len(sequence.tokens) < self._n_ctx_train
            and not sequence.request.media_spans
        )

    def pass_s(self, num_sequences: int) -> float:
        """Return the seconds of a pass that computes a token of this many sequences."""
        return self._times.decode_s(num_sequences) or 0.0

    def propose(self, wanted: Mapping[Sequence, int]) -> dict[Sequence, list[int]]:
        """Return the most likely next tokens of each sequence, up to its number.

        It reads as much as a batch has room for; a sequence that is still behind gets
        no draft yet. Raises DecodeError.
        """
        ready = self._catch_up(self._with_cells(wanted))
        guesses = {sequence: [token] for sequence, token in ready.items()}
        active = list(ready)
        while True:
            active = [
                sequence
                for sequence in active
                if len(guesses[sequence]) < wanted[sequence]
                and not self._tokenizer.is_end(guesses[sequence][-1])
            ]
            if not active:
                return guesses
            start = time.perf_counter()
            tokens = self._decode([(s, guesses[s][-1:], True) for s in active])
            for sequence, token in zip(active, tokens, strict=True):
                guesses[sequence].append(token)
            self._times.observe(len(active), [], time.perf_counter() - start)

    def _with_cells(self, wanted: Mapping[Sequence, int]) -> list[Sequence]:
        """Return the sequences for which there are cells, by slot.

        If cells are scarce, other slots are emptied: sequences that share cells in the
        target have separate ones here.
        """
        sequences = sorted(wanted, key=_slot)
        for sequence in sequences:
            self._keep_agreed(sequence)
        needed = {s: len(s.tokens) + wanted[s] for s in sequences}
        slots = {_slot(s) for s in sequences}
        others = [slot for slot in self._held if slot not in slots]
        kept = sum(len(self._held[slot].tokens) for slot in others)
        if sum(needed.values()) + kept > self._layout.n_cells:
            for slot in others:
                self._drop(slot)
        while sum(needed.values()) > self._layout.n_cells:
            left_out, _ = needed.popitem()
            self._drop(_slot(left_out))
        return list(needed)

    def _keep_agreed(self, sequence: Sequence) -> None:
        """Keep the slot's cells that match the sequence, but the newest token's."""
        slot = _slot(sequence)
        held = self._held.get(slot)
        if held is None or held.name != sequence.request_id:
            self._drop(slot)
            self._held[slot] = held = _SlotTokens(sequence.request_id)
        since = held.agreed
        agreed = since + num_agreed(held.tokens[since:], sequence.tokens[since:])
        # The newest token is always computed, because its logits are needed.
        agreed = min(agreed, len(sequence.tokens) - 1)
        if agreed < len(held.tokens):
            llama_cpp.llama_memory_seq_rm(self._memory, slot, agreed, -1)
            del held.tokens[agreed:]
        held.agreed = agreed

    def _drop(self, slot: int) -> None:
        self._held.pop(slot, None)
        llama_cpp.llama_memory_seq_rm(self._memory, slot, -1, -1)

    def _catch_up(self, sequences: Iterable[Sequence]) -> dict[Sequence, int]:
        """Read missing tokens; return the next token of each up-to-date sequence."""
        room = self._config.n_batch
        missing: dict[Sequence, list[int]] = {}
        # Sequences with the fewest missing tokens are first, so that one long prompt
        # does not hold up the others.
        for sequence in sorted(sequences, key=self._lag):
            start = len(self._held[_slot(sequence)].tokens)
            missing[sequence] = sequence.tokens[start : start + room]
            room -= len(missing[sequence])
        ready = [s for s in missing if self._lag(s) == len(missing[s])]
        tokens = self._decode(
            [
                (sequence, missing[sequence], sequence in ready)
                for sequence in sorted(missing, key=_slot)
                if missing[sequence]
            ]
        )
        return dict(zip(sorted(ready, key=_slot), tokens, strict=True))

    def _lag(self, sequence: Sequence) -> int:
        return len(sequence.tokens) - len(self._held[_slot(sequence)].tokens)

    def _decode(self, items: list[tuple[Sequence, list[int], bool]]) -> list[int]:
        """Compute tokens; return the most likely next one of each item that asks."""
        batch = self._batch
        batch.clear()
        outputs = []
        for sequence, tokens, is_asked in items:
            slot = _slot(sequence)
            held = self._held[slot].tokens
            end = batch.add(tokens, start=len(held), slot=slot, outputs=is_asked)
            held += tokens
            if is_asked:
                outputs.append(end - 1)
        code = llama_cpp.llama_decode(self._context, batch.raw) if batch else 0
        if code != 0:
            # The content of its cells is unknown now.
            for slot in list(self._held):
                self._drop(slot)
            raise DecodeError(
                f"The draft model's llama_decode returned {code} "
                f"for {len(batch)} tokens. " + self._log.tail()
            )
        return [self._likeliest(output) for output in outputs]

    def _likeliest(self, index: int) -> int:
        pointer = llama_cpp.llama_get_logits_ith(self._context, index)
        logits = np.ctypeslib.as_array(pointer, shape=(self._n_vocab,))
        # Padding tokens of only this vocabulary mean nothing to the target.
        return int(logits[: self._tokenizer.n_vocab].argmax())

    # The rest -----------------------------------------------------------------

    def warm_up(self, sequences: list[Sequence]) -> None:
        """Measure a pass with one sequence and with all of these."""
        for members in dict.fromkeys((tuple(sequences[:1]), tuple(sequences))):
            seconds = []
            for _ in range(_WARM_UP_PASSES):
                for sequence in members:
                    self._keep_agreed(sequence)
                start = time.perf_counter()
                self._decode([(s, s.tokens[-1:], True) for s in members])
                seconds.append(time.perf_counter() - start)
            self._times.calibrate(len(members), min(seconds))
        for slot in list(self._held):
            self._drop(slot)

    def close(self) -> None:
        """Free everything, the context before its model. Idempotent."""
        self._owned.close()


def _slot(sequence: Sequence) -> int:
    return sequence.slot or 0


def _check(model: Any, tokenizer: LlamaTokenizer) -> None:
    """Raise ModelLoadError unless the model can draft for the target's vocabulary."""
    if (
        llama_cpp.llama_model_is_recurrent(model)
        or llama_cpp.llama_model_is_hybrid(model)
        or llama_cpp.llama_model_n_swa(model)
    ):
        raise ModelLoadError(
            "The draft model has a recurrent state or a sliding window: it cannot take "
            "back guesses that were wrong."
        )
    vocab = llama_cpp.llama_model_get_vocab(model)
    reason = _difference(tokenizer, LlamaTokenizer(vocab))
    if reason:
        raise ModelLoadError(f"The draft model has another vocabulary: {reason}.")


def _difference(target: LlamaTokenizer, draft: LlamaTokenizer) -> str:
    """Return how two vocabularies differ, "" if they are the same.

    Padding at the end is ignored, as in llama.cpp's
    ``common_speculative_are_compatible``.
    """
    if abs(target.n_vocab - draft.n_vocab) > _MAX_SIZE_DIFFERENCE:
        return f"{draft.n_vocab} tokens, not {target.n_vocab}"
    for token in range(min(target.n_vocab, draft.n_vocab)):
        here, there = target.spelling(token), draft.spelling(token)
        if here != there:
            return f"token {token} is {there!r}, not {here!r}"
    return ""
