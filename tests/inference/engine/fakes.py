"""A scripted model: a backend for the engine without llama.cpp."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from inference.engine.config.cache_layout import CacheLayout
from inference.engine.errors import DecodeError, ModelLoadError
from inference.engine.speculative.verification import num_agreed, verified
from inference.engine.step import CellsExhausted, Sampled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inference.engine.config.adapters import Adapters
    from inference.engine.infill import InfillTokens
    from inference.engine.sampling.params import SamplingParams
    from inference.engine.sequence import Sequence
    from inference.engine.step import StepItem, StepPlan

#: A token, the cell's name, and the adapters under which it was computed.
Cell = tuple[int, int, "Adapters"]

END = 0
#: Control tokens: their names.
CONTROL = {1: "<call>", 2: "</call>", END: "<end>"}


class FakeTokenizer:
    """Every character is a token: its code point. Those below 3 are control tokens.

    Token 0 ends a generation.
    """

    n_vocab = 0x110000
    infill: InfillTokens | None = None

    def tokenize(
        self, text: str, *, special: bool, parse_special: bool = True
    ) -> list[int]:
        return [ord(character) for character in text]

    def detokenize(self, tokens: list[int]) -> str:
        return "".join(map(chr, tokens))

    def piece(self, token: int) -> bytes:
        return b"" if token in CONTROL else chr(token).encode()

    def spelling(self, token: int) -> bytes:
        return CONTROL[token].encode() if token in CONTROL else self.piece(token)

    def is_end(self, token: int) -> bool:
        return token == END


def oracle(text: str, adapters: Adapters = ()) -> str:
    """Return the character that an unscripted model writes after ``text``."""
    text += "".join(f"{name}{scale}" for name, scale in adapters)
    return "abcdefghijklmnopqrstuvwxyz"[sum(map(ord, text)) * 31 % 26]


class FakeDrafter:
    """Drafts what the unscripted model says; every ``wrong_every``-th token wrongly.

    A pass takes ``seconds``. It records what it was asked for.
    """

    def __init__(self, *, wrong_every: int = 0, seconds: float = 0.0) -> None:
        self.wanted: list[dict[str, int]] = []
        self._wrong_every = wrong_every
        self._seconds = seconds

    def can_follow(self, sequence: Sequence) -> bool:
        return True

    def propose(self, wanted: Mapping[Sequence, int]) -> dict[Sequence, list[int]]:
        self.wanted.append({s.request_id: count for s, count in wanted.items()})
        return {s: self._draft(s.tokens, count) for s, count in wanted.items()}

    def _draft(self, tokens: list[int], count: int) -> list[int]:
        text = "".join(map(chr, tokens))
        for _ in range(count):
            wrong = self._wrong_every and len(text) % self._wrong_every == 0
            text += "?" if wrong else oracle(text)
        return [ord(character) for character in text[len(tokens) :]]

    def pass_s(self, num_sequences: int) -> float:
        return self._seconds

    def warm_up(self, sequences: list[Sequence]) -> None:
        pass


class FakeBackend:
    """Answers each sequence with the tokens scripted for its prompt.

    The script is looked up by what the KV cells really hold, so an engine that
    computes a prompt wrongly, or takes over the wrong cells, gets no answer.
    Without any script it writes what ``oracle`` says. It records every plan.

    ``window`` makes it a model with a sliding window, which cannot cut a sequence
    that is longer; ``can_cut=False`` a recurrent one. With ``forces`` a grammar
    leaves no choice about the tokens after some of the unscripted model's.
    """

    def __init__(
        self,
        *,
        n_seq_max: int = 4,
        n_ctx: int = 64,
        n_batch: int = 16,
        n_cells: int = 0,
        n_ctx_max: int = 0,
        n_cells_max: int = 0,
        is_split: bool = True,
        can_cut: bool = True,
        window: int = 0,
        shares_prefixes: bool = False,
        fixed_piece: int = 0,
        drafts_by_lookup: bool = False,
        drafter: FakeDrafter | None = None,
        forces: bool = False,
        adapters: tuple[str, ...] = (),
        prefill_tile: int = 1,
    ) -> None:
        total = n_cells or n_ctx * n_seq_max
        self.layout = CacheLayout(n_ctx, n_seq_max, total, is_split)
        self.n_ctx_max = n_ctx_max or n_ctx
        self.n_cells_max = n_cells_max or total
        self.n_batch = n_batch
        self.n_outputs_max = n_batch
        self.can_cut = can_cut
        self.needs_even_batches = window > 0
        self.can_draft = can_cut and not window
        self.max_lookup_sequences = n_seq_max if drafts_by_lookup else 0
        self.prefill_tile = prefill_tile
        self.prefill_lead = 0
        self.itl_target_ms = 0
        self.has_prefill_context = False
        self.drafter = drafter
        self.projector: Any = None
        self.forces = forces
        self.shares_prefixes = shares_prefixes
        self.fixed_piece = fixed_piece
        self.window = window
        self.tokenizer = FakeTokenizer()
        self.plans: list[StepPlan] = []
        self.shapes: list[dict[int, int]] = []
        #: What each slot's cells hold; in a unified cache slots may have cells of the
        #: same name.
        self.cells: dict[int, list[Cell]] = {}
        self.adapters = adapters
        self.samplers: dict[str, list[int]] = {}
        self.prepared: list[SamplingParams] = []
        self.fail_next = False
        self.exhaust_next = False
        self.memory_for = 10**9
        self.num_compacted = 0
        self.loses_cells = False
        self.is_closed = False
        self.prefilled = 0
        self._names = 0
        self._answers: dict[str, str] = {}

    def script(self, prompt: str, answer: str) -> None:
        """Answer ``prompt`` with ``answer``, then end."""
        self._answers[prompt] = answer

    # The cache ----------------------------------------------------------------

    def resize(self, layout: CacheLayout) -> None:
        self.cells = {}
        if layout.n_cells > self.memory_for:
            raise ModelLoadError(f"no memory for {layout.n_cells} cells")
        self.layout = layout

    def clear(self, slot: int) -> None:
        self.cells.pop(slot, None)

    def keep(self, slot: int, length: int) -> bool:
        cells = self.cells.get(slot, [])
        assert length <= len(cells), "more kept than there is"
        is_cut = length < len(cells)
        if is_cut and (not self.can_cut or 0 < self.window < len(cells)):
            self.clear(slot)
            return False
        self.cells[slot] = cells[:length]
        return True

    def fork(self, source: int, target: int, length: int) -> bool:
        assert not self.cells.get(target), "the target is not empty"
        self.cells[target] = list(self.cells[source])
        if self.layout.is_split:
            self.cells[target] = self._own(self.cells[target])
        return self.keep(target, length)

    def move(self, source: int, target: int) -> None:
        assert not self.cells.get(target), "the target is not empty"
        self.cells[target] = self.cells.pop(source, [])

    def save(self, slot: int) -> bytes:
        return json.dumps(self.cells[slot]).encode()

    def restore(self, slot: int, state: bytes) -> bool:
        assert not self.cells.get(slot), "the target is not empty"
        cells = json.loads(state)
        self.cells[slot] = [
            self._cell(token, tuple((name, scale) for name, scale in adapters))
            for token, _, adapters in cells
        ]
        return True

    def compact(self) -> bool:
        self.num_compacted += 1
        if self.loses_cells:
            self.cells = {}
        return not self.loses_cells

    def length(self, slot: int) -> int:
        return len(self.cells.get(slot, ()))

    @property
    def num_used(self) -> int:
        """Cells that hold something, each counted once."""
        return len({name for cells in self.cells.values() for _, name, _ in cells})

    def _own(self, cells: list[Cell]) -> list[Cell]:
        return [self._cell(token, adapters) for token, _, adapters in cells]

    def _cell(self, token: int, adapters: Adapters = ()) -> Cell:
        self._names += 1
        return token, self._names, adapters

    # Sequences ----------------------------------------------------------------

    def prepare(self, request_id: str, params: SamplingParams) -> None:
        self.prepared.append(params)

    def release(self, request_id: str) -> None:
        pass

    def open(
        self,
        request_id: str,
        params: SamplingParams,
        *,
        prompt: list[int],
        output: list[int],
    ) -> None:
        assert request_id not in self.samplers
        self.samplers[request_id] = list(output)

    def close_sequence(self, request_id: str) -> None:
        self.samplers.pop(request_id, None)

    def decode(self, plan: StepPlan) -> dict[int, Sampled]:
        if self.fail_next:
            self.fail_next = False
            raise DecodeError("llama_decode returned -3")
        if self.exhaust_next and len(plan.items) > 1:
            self.exhaust_next = False
            raise CellsExhausted("llama_decode returned 1")
        assert plan.num_tokens <= self.n_batch
        self.plans.append(plan)
        self.shapes.append({i.sequence.slot or 0: len(i.tokens) for i in plan.items})
        sampled = {}
        for item in plan.items:
            slot = item.sequence.slot
            assert slot is not None
            cells = self.cells.setdefault(slot, [])
            assert item.start == len(cells), "a position twice or left out"
            cells.extend(self._cell(token, plan.adapters) for token in item.tokens)
            assert item.sequence.request.adapters == plan.adapters
            assert {a for _, _, a in cells} == {plan.adapters}, "of other adapters"
            assert len(cells) <= self.layout.n_ctx
            if not item.is_decode:
                self.prefilled += len(item.tokens)
            if item.samples:
                sampled[slot] = self._sample(item, cells)
        assert self.num_used <= self.layout.n_cells
        return sampled

    def _sample(self, item: StepItem, cells: list[Cell]) -> Sampled:
        """Return the next token, and another for each accepted draft token."""
        # What is no text is a piece of an image.
        held = "".join(chr(token) if token >= 0 else "*" for token, _, _ in cells)
        adapters = item.sequence.request.adapters
        before = held[: len(held) - item.num_draft]
        draft = list(map(ord, held[len(before) :]))

        def say(place: int) -> list[int]:
            text = before + "".join(map(chr, draft[:place]))
            said = [self._next(text, adapters)]
            if self.forces and said[0] % 3 == 0:
                for _ in range(4):
                    so_far = text + "".join(map(chr, said))
                    said.append(ord(oracle(so_far, adapters)))
            return said

        tokens = verified(draft, say)
        self.samplers[item.sequence.request_id] += tokens
        return Sampled(tuple(tokens), num_agreed(draft, tokens))

    def _next(self, text: str, adapters: Adapters) -> int:
        if not self._answers:
            return ord(oracle(text, adapters))
        for prompt, answer in self._answers.items():
            if text.startswith(prompt) and (prompt + answer).startswith(text):
                rest = (prompt + answer)[len(text) :]
                return ord(rest[0]) if rest else END
        # Nothing but an "a" again and again is the warm-up's.
        assert set(text) == {"a"}, f"no script for {text!r}"
        return END

    def close(self) -> None:
        self.is_closed = True
