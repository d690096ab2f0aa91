"""What comes of a call of an MCP server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class McpOutcome:
    """What came of a call: a text, or an error as OpenAI's object has it."""

    output: str | None = None
    error: dict[str, Any] | None = None

    @classmethod
    def failed(cls, message: str, code: int = 500) -> McpOutcome:
        """Return the outcome of a call that never reached its tool."""
        return cls(error={"type": "http_error", "code": code, "message": message})
