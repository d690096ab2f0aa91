"""Calls in the shape of OpenAI's former API, which has one call in an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inference.api.streaming.response_objects import (
        ChatChoice,
        ChatFinishReason,
        MessageDelta,
    )


def rewrite_choice(choice: ChatChoice) -> None:
    """Give a choice's only call as ``function_call``."""
    calls = choice["message"].pop("tool_calls", None)
    if calls:
        (call,) = calls
        if call["type"] == "function":
            choice["message"]["function_call"] = call["function"]
    choice["finish_reason"] = finish_reason(choice["finish_reason"])


def delta(given: MessageDelta) -> MessageDelta:
    """Return a chunk's piece of a call as ``function_call``; others as they are."""
    calls = given.get("tool_calls")
    return {"function_call": calls[0]["function"]} if calls else given


def finish_reason(reason: ChatFinishReason) -> ChatFinishReason:
    """Return the former name of a finish reason."""
    return "function_call" if reason == "tool_calls" else reason
