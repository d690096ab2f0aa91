"""What a parser makes of a text, put together as a client would."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inference.output_parsers import (
    ContentDelta,
    ReasoningDelta,
    ToolCallArguments,
    ToolCallBegin,
)
from inference.output_parsers.families import OUTPUT_PARSERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inference.output_parsers import Delta

#: One name begins another, one tool takes nothing, types are written in several ways.
TOOLS: dict[str, dict[str, Any]] = {
    "get": {"type": "object", "properties": {"url": {"type": "string"}}},
    "get_weather": {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer"},
            "unit": {"enum": ["C", "F"]},
            "hourly": {"type": "boolean"},
        },
        "required": ["city"],
    },
    "python": {
        "type": "object",
        "properties": {"code": {"type": "string"}},
        "required": ["code"],
    },
    "save": {
        "type": "object",
        "properties": {
            "note": {"$ref": "#/$defs/note"},
            "tags": {"anyOf": [{"type": "array"}, {"type": "null"}]},
            "rating": {"type": ["number", "null"]},
        },
        "$defs": {"note": {"type": "object"}},
    },
    "now": {},
}


@dataclass(frozen=True)
class Answer:
    """A message of the assistant. ``calls`` are names and arguments as text."""

    content: str = ""
    reasoning: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)


def deltas_of(
    family: str,
    pieces: Iterable[str],
    *,
    tools: dict[str, dict[str, Any]] = TOOLS,
    in_reasoning: bool = False,
    max_calls: int | None = None,
) -> list[Delta]:
    """Return everything that comes out of a parser."""
    parser = OUTPUT_PARSERS[family].for_answer(
        tools, starts_in_reasoning=in_reasoning, max_calls=max_calls
    )
    deltas = [delta for piece in pieces for delta in parser.push(piece)]
    return deltas + parser.finish()


def answer_of(deltas: Iterable[Delta]) -> Answer:
    """Put deltas together; fails where a client would stumble over one."""
    content, reasoning = "", ""
    calls: list[tuple[str, str]] = []
    for delta in deltas:
        match delta:
            case ContentDelta(text):
                content += text
            case ReasoningDelta(text):
                reasoning += text
            case ToolCallBegin(index, id_, name):
                assert index == len(calls)
                assert id_
                assert name
                calls.append((name, ""))
            case ToolCallArguments(index, fragment):
                assert index == len(calls) - 1
                assert fragment
                calls[index] = (calls[index][0], calls[index][1] + fragment)
    return Answer(content, reasoning, calls)


def parse(family: str, text: str, **options: Any) -> Answer:
    """Return the answer that a text is, and see that pieces make the same one."""
    answer = answer_of(deltas_of(family, [text], **options))
    assert answer_of(deltas_of(family, text, **options)) == answer
    return answer


def joined(deltas: Iterable[Delta]) -> list[tuple[str, str]]:
    """Return deltas with neighbours of one kind joined, and without random ids."""
    kinds = [
        (
            f"{type(delta).__name__} {getattr(delta, 'index', '')}",
            getattr(delta, "text", "")
            or getattr(delta, "fragment", "")
            or getattr(delta, "name", ""),
        )
        for delta in deltas
    ]
    return [
        (kind, "".join(text for _, text in group))
        for kind, group in itertools.groupby(kinds, key=lambda item: item[0])
    ]
