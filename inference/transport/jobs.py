"""What else than text can be asked of a model's workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.transport.messages import Detokenize, Embed, Tokenize

if TYPE_CHECKING:
    from inference.transport.stream import Stream


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedJob:
    """Texts that become vectors or, with a ``query``, scores.

    Embed explains the fields, and Job the others.
    """

    model_id: int
    model_name: str
    inputs: tuple[str | list[int], ...]
    paths: tuple[str, ...]
    timeout_s: float
    query: str | None = None
    key: str = ""
    weight: float = 1.0
    priority: int = 0

    def message(self, stream: Stream, reply_to: str, priority: int) -> Embed:
        """Return what is put into the model's queue."""
        return Embed(
            request_id=stream.request_id,
            reply_to=reply_to,
            inputs=self.inputs,
            paths=self.paths,
            deadline=stream.deadline,
            query=self.query,
            key=self.key,
            weight=self.weight,
            priority=priority,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizeJob:
    """A text whose tokens are asked for. Tokenize explains the fields."""

    model_id: int
    model_name: str
    text: str
    timeout_s: float
    special: bool = False
    parse_special: bool = True
    priority: int = 0

    def message(self, stream: Stream, reply_to: str, priority: int) -> Tokenize:
        """Return what is put into the model's queue."""
        return self.question(stream.request_id, reply_to, stream.deadline)

    def question(
        self, request_id: str = "", reply_to: str = "", deadline: float = 0
    ) -> Tokenize:
        """Return what is asked, of whomever."""
        return Tokenize(
            request_id=request_id,
            reply_to=reply_to,
            text=self.text,
            deadline=deadline,
            special=self.special,
            parse_special=self.parse_special,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DetokenizeJob:
    """Tokens whose text is asked for. Detokenize explains the fields."""

    model_id: int
    model_name: str
    tokens: tuple[int, ...]
    path: str
    timeout_s: float
    priority: int = 0

    def message(self, stream: Stream, reply_to: str, priority: int) -> Detokenize:
        """Return what is put into the model's queue."""
        return self.question(stream.request_id, reply_to, stream.deadline)

    def question(
        self, request_id: str = "", reply_to: str = "", deadline: float = 0
    ) -> Detokenize:
        """Return what is asked, of whomever."""
        return Detokenize(
            request_id=request_id,
            reply_to=reply_to,
            tokens=self.tokens,
            path=self.path,
            deadline=deadline,
        )
