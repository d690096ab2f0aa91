"""Echoes the prompt of a text completion before the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.api.streaming.logprobs import num_characters, text_logprobs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference.api.streaming.response_objects import TextLogprobs
    from inference.engine.sampling.logprobs import TokenLogprobs


class Echo:
    """The text of a prompt; ``tokens`` has its logprobs once they are known."""

    def __init__(self, prompt: str | list[int]) -> None:
        """``prompt`` is a text or token ids, as in the request."""
        self._prompt = prompt
        self.tokens: Sequence[TokenLogprobs] = ()

    @property
    def text(self) -> str:
        """The prompt as it was sent, or the text of its token ids."""
        if isinstance(self._prompt, str):
            return self._prompt
        pieces = b"".join(token.chosen.piece for token in self.tokens)
        return pieces.decode("utf-8", "replace")

    @property
    def logprobs(self) -> TextLogprobs:
        """The probabilities of the prompt's tokens.

        A tokenizer may add a token or a space before the text, so offsets are counted
        from the end.
        """
        start = len(self.text) - num_characters(self.tokens)
        return text_logprobs(self.tokens, start=start, is_prompt=True)
