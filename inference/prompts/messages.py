"""The messages of a conversation, and the tools that the model may call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

#: The roles of instructions; the second is the newer name of the first.
SYSTEM = ("system", "developer")


def _no_parameters() -> dict[str, Any]:
    return {"type": "object", "properties": {}}


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call; ``parameters`` is a JSON schema.

    ``strict``: calls must match the schema. ``input_grammar``: its only argument is a
    text, and this the grammar of what JSON writes of it and of its last quote.
    """

    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=_no_parameters)
    strict: bool = False
    input_grammar: str = ""

    def function(self) -> dict[str, Any]:
        """Return OpenAI's ``function`` object, with all members, for a template."""
        return {
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
        }


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation; ``content`` is None only beside tool calls.

    ``tool_calls`` are OpenAI's objects. ``name`` is the participant, or the function
    in a message of a tool. ``reasoning`` came before the content.
    """

    role: str
    content: str | None
    name: str | None = None
    tool_call_id: str | None = None
    tool_calls: tuple[dict[str, Any], ...] = ()
    reasoning: str | None = None

    @property
    def size_bytes(self) -> int:
        """Bytes of its texts in UTF-8."""
        calls = [call["function"] for call in self.tool_calls]
        texts = [self.content or "", self.name or "", self.reasoning or ""]
        texts += [call["name"] + call["arguments"] for call in calls]
        return sum(len(text.encode()) for text in texts)


def joined(*texts: str | None) -> str:
    """Return texts as one, with a blank line between them."""
    return "\n\n".join(text for text in texts if text)
