"""What a benchmark asks of a model, and in which order."""

from __future__ import annotations

import time

from inference.benchmark.figures import MeasuredStream
from inference.benchmark.measuring import measure


class FakeDoor:
    """Notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[int, ...], int]] = []

    async def tokens_of(self, text: str) -> list[int]:
        return [hash(word) for word in text.split()]

    async def stream(self, prompt: list[int], tokens: int) -> MeasuredStream:
        self.asked.append((tuple(prompt), tokens))
        now = time.perf_counter()
        return MeasuredStream(now, now + 1, now + 2, len(prompt), tokens)


async def test_streams_at_once_come_before_long_prompts_and_none_is_asked_twice() -> (
    None
):
    door = FakeDoor()
    steps: list[tuple[str, float]] = []
    result = await measure(
        door,
        "tiny",
        streams=(1, 3),
        tokens=16,
        prompt_tokens=500,
        on_step=lambda *step: steps.append(step),
    )
    assert [each.streams for each in result.streams] == [1, 3]
    assert result.long_prompt.prompt_tokens == 500
    lengths = [(len(prompt), tokens) for prompt, tokens in door.asked]
    assert lengths == [(32, 2)] + [(32, 16)] * 4 + [(500, 2)] * 3
    assert len({prompt[:8] for prompt, _ in door.asked}) == len(door.asked)
    assert steps == [
        ("loading the model", 0.0),
        ("1 at once", 0.25),
        ("3 at once", 0.5),
        ("prompts of 500 tokens", 0.75),
    ]
