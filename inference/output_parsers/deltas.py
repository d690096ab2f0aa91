"""What an output parser returns: the pieces of OpenAI's stream."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ContentDelta:
    """More of the answer's ``content``."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """More of the answer's ``reasoning_content``."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallBegin:
    """The id and name of a new call, sent before its arguments.

    ``index`` counts the calls of an answer from 0.
    """

    index: int
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class ToolCallArguments:
    """More of the arguments of a call, as JSON text."""

    index: int
    fragment: str


Delta = ContentDelta | ReasoningDelta | ToolCallBegin | ToolCallArguments
