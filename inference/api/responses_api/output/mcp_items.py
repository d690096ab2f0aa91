"""What MCP servers have to do with an answer, as items of its output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inference.api.responses_api.output.items import OutputItem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from inference.api.responses_api.body.called_tools import CalledTool
    from inference.api.responses_api.output.items import Event
    from inference.api.responses_api.output.outcomes import McpOutcome


class McpListItem(OutputItem):
    """The tools of a server, which were asked for before the answer began."""

    prefix = "mcpl"

    def __init__(
        self, number: str, place: int, label: str, tools: Sequence[Any]
    ) -> None:
        super().__init__(number, place)
        self._label = label
        self._tools = list(tools)

    def item(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": "mcp_list_tools",
            "server_label": self._label,
            "tools": [] if self.status == "in_progress" else self._tools,
        }

    def add(self, text: str, logprobs: list[Any]) -> Iterator[Event]:
        yield from ()

    def begin(self) -> Iterator[Event]:
        yield from super().begin()
        yield self._event("mcp_list_tools.in_progress")

    def _ending(self) -> Iterator[Event]:
        yield self._event("mcp_list_tools.completed")


class McpCallItem(OutputItem):
    """A call of a tool of a server. It ends twice: when it is written, and when made.

    ``approval_id`` is the request for the client's leave, if it had one.
    """

    prefix = "mcp"

    def __init__(
        self, number: str, place: int, tool: CalledTool, approval_id: str | None = None
    ) -> None:
        super().__init__(number, place)
        self.label = tool.server_label or ""
        self.name = tool.name
        self._approval_id = approval_id
        self._texts: list[str] = []
        self._output: str | None = None
        self._error: dict[str, Any] | None = None

    @property
    def arguments(self) -> str:
        """The arguments so far, as the model writes them."""
        return "".join(self._texts)

    @property
    def is_waiting(self) -> bool:
        """Whether it is written, and not made."""
        return self.status == "calling"

    def item(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": "mcp_call",
            "status": self.status,
            "approval_request_id": self._approval_id,
            "arguments": self.arguments,
            "error": self._error,
            "name": self.name,
            "output": self._output,
            "server_label": self.label,
        }

    def begin(self) -> Iterator[Event]:
        yield from super().begin()
        yield self._event("mcp_call.in_progress")

    def add(self, text: str, logprobs: list[Any]) -> Iterator[Event]:
        self._texts.append(text)
        yield self._event("mcp_call_arguments.delta", delta=text)

    def end(self, status: str) -> Iterator[Event]:
        """Yield the events of the end of its arguments, or of a call that is cut."""
        yield self._event("mcp_call_arguments.done", arguments=self.arguments)
        self.status = "calling"
        if status != "completed":
            yield from self.give_up()

    def made(self, outcome: McpOutcome) -> Iterator[Event]:
        """Take what came of it; yield the events."""
        self._output, self._error = outcome.output, outcome.error
        self.status = "completed" if outcome.error is None else "failed"
        yield self._event(f"mcp_call.{self.status}")
        yield self._of_output("done")

    def give_up(self) -> Iterator[Event]:
        """Yield the events of a call that is not made."""
        self.status = "incomplete"
        yield self._event("mcp_call.failed")
        yield self._of_output("done")


class McpApprovalItem(OutputItem):
    """A call that waits for the client's leave: it is shown once it is whole."""

    prefix = "mcpr"

    def __init__(self, number: str, place: int, tool: CalledTool) -> None:
        super().__init__(number, place)
        self._tool = tool
        self._texts: list[str] = []

    def item(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": "mcp_approval_request",
            "arguments": "".join(self._texts),
            "name": self._tool.name,
            "server_label": self._tool.server_label,
        }

    def begin(self) -> Iterator[Event]:
        yield from ()

    def add(self, text: str, logprobs: list[Any]) -> Iterator[Event]:
        self._texts.append(text)
        yield from ()

    def _ending(self) -> Iterator[Event]:
        yield self._of_output("added")
