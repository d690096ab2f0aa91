"""What a conversation is made of: messages, and the tools that may be called."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


def _no_parameters() -> dict[str, Any]:
    return {"type": "object", "properties": {}}


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call; ``parameters`` is a JSON schema.

    ``strict`` asks that calls match the schema.
    """

    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=_no_parameters)
    strict: bool = False

    def function(self) -> dict[str, Any]:
        """Return what models are told: OpenAI's object, with every member."""
        return {
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
        }


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation; ``content`` is None only beside tool calls.

    ``tool_calls`` are OpenAI's objects; ``name`` is the participant's, of a tool's
    message the function's; ``reasoning`` is what was thought before an answer.
    """

    role: str
    content: str | None
    name: str | None = None
    tool_call_id: str | None = None
    tool_calls: tuple[dict[str, Any], ...] = ()
    reasoning: str | None = None

    @property
    def size_bytes(self) -> int:
        """The size of what it adds to a prompt, in UTF-8."""
        calls = [call["function"] for call in self.tool_calls]
        texts = [self.content or "", self.name or "", self.reasoning or ""]
        texts += [call["name"] + call["arguments"] for call in calls]
        return sum(len(text.encode()) for text in texts)
