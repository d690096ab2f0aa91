"""A scripted model: what the engine sees of one, without llama.cpp."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.engine.errors import DecodeError

if TYPE_CHECKING:
    from inference.engine.plan import StepPlan
    from inference.engine.sampling_params import SamplingParams

END = 0


class FakeTokenizer:
    """Every character is a token: its code point. Token 0 ends a generation."""

    n_vocab = 0x110000

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        return [ord(character) for character in text]

    def piece(self, token: int) -> bytes:
        return b"" if token == END else chr(token).encode()

    def is_end(self, token: int) -> bool:
        return token == END


class FakeBackend:
    """Answers each sequence with the tokens scripted for its prompt.

    The script is looked up by the tokens that the batch really carried, so an
    engine that computes a prompt wrongly gets no answer. It records every plan.
    """

    def __init__(
        self, *, n_seq_max: int = 4, n_ctx: int = 64, n_batch: int = 16
    ) -> None:
        self.n_seq_max = n_seq_max
        self.n_ctx = n_ctx
        self.n_batch = n_batch
        self.tokenizer = FakeTokenizer()
        self.plans: list[StepPlan] = []
        self.shapes: list[dict[int, int]] = []
        self.cells: dict[int, list[int]] = {}
        self.open: set[int] = set()
        self.fail_next = False
        self.is_closed = False
        self._answers: dict[str, str] = {}

    def script(self, prompt: str, answer: str) -> None:
        """Answer ``prompt`` with ``answer``, then end."""
        self._answers[prompt] = answer

    def open_slot(self, slot: int, params: SamplingParams, output: list[int]) -> None:
        assert slot not in self.open
        self.open.add(slot)
        self.cells[slot] = []

    def close_slot(self, slot: int) -> None:
        self.open.discard(slot)
        self.cells.pop(slot, None)

    def decode(self, plan: StepPlan) -> dict[int, int]:
        if self.fail_next:
            self.fail_next = False
            raise DecodeError("llama_decode returned -3")
        assert plan.num_tokens <= self.n_batch
        self.plans.append(plan)
        self.shapes.append({i.sequence.slot or 0: len(i.tokens) for i in plan.items})
        sampled = {}
        for item in plan.items:
            slot = item.sequence.slot
            assert slot is not None
            cells = self.cells[slot]
            assert item.start == len(cells), "a position twice or left out"
            cells.extend(item.tokens)
            assert len(cells) <= self.n_ctx
            if item.samples:
                sampled[slot] = self._next("".join(map(chr, cells)))
        return sampled

    def _next(self, text: str) -> int:
        for prompt, answer in self._answers.items():
            if text.startswith(prompt) and (prompt + answer).startswith(text):
                rest = (prompt + answer)[len(text) :]
                return ord(rest[0]) if rest else END
        raise AssertionError(f"no script for {text!r}")

    def close(self) -> None:
        self.is_closed = True
