"""Checks that a prompt has every text of its conversation."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from inference.prompts.abilities import in_order, marks_of
from inference.prompts.messages import SYSTEM, Message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def seems_whole(prompt: str, messages: Sequence[Message]) -> bool:
    """Return whether each content and function is in the prompt, in order.

    False does not mean that one is missing: a template may change texts, for example
    leave out earlier reasoning.
    """
    position = 0
    for message in messages:
        texts = [(message.content or "").strip()]
        texts += [call["function"]["name"] for call in message.tool_calls]
        # A template may have its own place for the instructions at the beginning.
        start = 0 if message.role in SYSTEM else position
        for text in texts:
            found = _find(prompt, text, start)
            if found < 0:
                return False
            if message.role not in SYSTEM:
                start = position = found
    return True


def shows_all(
    attempt: Callable[[Sequence[Message]], str | None], messages: Sequence[Message]
) -> bool:
    """Return whether the prompt would have every text, in order.

    ``attempt`` renders messages; it returns None if the template fails. It gets the
    conversation with short marks in place of its texts, which no template changes.
    """
    marked = tuple(_marked(message, index) for index, message in enumerate(messages))
    prompt = attempt(marked)
    if prompt is None:
        return False
    system = [each for each in marked if each.role in SYSTEM]
    others = [each for each in marked if each.role not in SYSTEM]
    marks = marks_of(others)
    return all(mark in prompt for mark in marks_of(system)) and (
        not marks or in_order(prompt, marks)
    )


def _find(prompt: str, text: str, start: int) -> int:
    """Return where a text begins, as it is or as JSON has it; -1 if it is not there."""
    found = prompt.find(text, start)
    if found >= 0:
        return found
    return prompt.find(json.dumps(text, ensure_ascii=False)[1:-1], start)


def _marked(message: Message, index: int) -> Message:
    calls = tuple(
        {
            **call,
            "function": {
                **call["function"],
                "arguments": json.dumps({"mark": _mark(index, 1 + place)}),
            },
        }
        for place, call in enumerate(message.tool_calls)
    )
    content = _mark(index, 0) if message.content else message.content
    return replace(message, content=content, tool_calls=calls)


def _mark(index: int, place: int) -> str:
    return f"mark-{index}-{place}-"
