"""What goes wrong with MCP servers."""

from __future__ import annotations

from inference.api.errors import FailedDependency
from inference.errors import InferenceError
from llm_manager.lib.quoting import printable


class McpFailed(FailedDependency):
    """An MCP server has not answered as it should."""

    def __init__(self, label: str, why: str) -> None:
        super().__init__(
            f"The MCP server '{label}' has failed: {printable(why)}.",
            param="tools",
            code="mcp_server_failed",
        )


class CallsInterrupted(InferenceError):
    """A response that was begun again and does not come to the calls that it made."""
