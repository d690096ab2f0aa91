"""What a parser makes of a model's text: the pieces of OpenAI's stream."""

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
    """A call begins: its id and name, as OpenAI sends them, before any argument.

    ``index`` counts the answer's calls from 0.
    """

    index: int
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class ToolCallArguments:
    """More of the JSON text of a call's arguments."""

    index: int
    fragment: str


Delta = ContentDelta | ReasoningDelta | ToolCallBegin | ToolCallArguments
