"""An answer as it comes: printed piece by piece, and measured."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from llm_manager.lib.quoting import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: A terminal may get these of its control characters from a model.
_LAYOUT = "\n\t"


@dataclass(slots=True)
class PrintedAnswer:
    """What has come of an answer so far; times are in seconds of a monotonic clock."""

    started: float = field(default_factory=time.monotonic)
    content: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    first_at: float | None = None
    last_at: float | None = None

    def summary(self) -> str:
        """Return how long and how fast it was, in one line."""
        parts = []
        if self.usage:
            details = self.usage.get("prompt_tokens_details") or {}
            cached = details.get("cached_tokens", 0)
            prompt = f"prompt {self.usage['prompt_tokens']} tokens"
            parts.append(f"{prompt} ({cached} cached)" if cached else prompt)
            parts.append(f"answer {self.usage['completion_tokens']} tokens")
        if self.first_at is not None:
            parts.append(f"first after {self.first_at - self.started:.2f} s")
        if speed := self.tokens_per_second:
            parts.append(f"{speed:.1f} tokens/s")
        return ", ".join(parts)

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens a second after the first one; None if that cannot be measured."""
        tokens = self.usage.get("completion_tokens", 0) - 1
        if self.first_at is None or self.last_at is None or tokens < 1:
            return None
        seconds = self.last_at - self.first_at
        return tokens / seconds if seconds > 0 else None


class AnswerPrinter:
    """Writes an answer while it comes. Thoughts are dim, and only on a terminal."""

    def __init__(self, *, is_terminal: bool, write: Callable[[str], None]) -> None:
        self._is_terminal = is_terminal
        self._write = write
        self._is_thinking = False

    def print(self, chunks: Iterable[dict[str, Any]], answer: PrintedAnswer) -> None:
        """Print the chunks of a stream and note them in ``answer``."""
        for chunk in chunks:
            if chunk.get("usage"):
                answer.usage = chunk["usage"]
            for choice in chunk["choices"]:
                answer.finish_reason = choice["finish_reason"] or answer.finish_reason
                delta = choice["delta"]
                self._think(delta.get("reasoning_content") or "", answer)
                self._say(delta.get("content") or "", answer)

    def _think(self, text: str, answer: PrintedAnswer) -> None:
        if not text:
            return
        _note_time(answer)
        answer.reasoning += text
        if self._is_terminal:
            self._is_thinking = True
            self._write(click.style(printable(text, kept=_LAYOUT), dim=True))

    def _say(self, text: str, answer: PrintedAnswer) -> None:
        if not text:
            return
        _note_time(answer)
        answer.content += text
        if self._is_thinking:
            self._is_thinking = False
            self._write("\n\n")
        self._write(printable(text, kept=_LAYOUT) if self._is_terminal else text)


def _note_time(answer: PrintedAnswer) -> None:
    answer.last_at = time.monotonic()
    if answer.first_at is None:
        answer.first_at = answer.last_at
