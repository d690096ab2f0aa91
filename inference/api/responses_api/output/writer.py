"""Makes the output of a response of the parts of an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inference.api.responses_api.body.called_tools import CalledTool
from inference.api.responses_api.output.items import (
    CustomCallItem,
    FunctionCallItem,
    MessageItem,
    ReasoningItem,
)
from inference.api.responses_api.output.mcp_items import (
    McpApprovalItem,
    McpCallItem,
    McpListItem,
)
from inference.api.streaming.logprobs import chat_logprobs
from inference.output_parsers import (
    ContentDelta,
    ReasoningDelta,
    ToolCallArguments,
    ToolCallBegin,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from inference.api.responses_api.output.items import Event, OutputItem
    from inference.engine.sampling.logprobs import TokenLogprobs
    from inference.output_parsers import Delta


class OutputWriter:
    """The items of one response, the last of which is being written.

    ``number`` makes their ids; ``tools`` are what the names of functions stand for.
    """

    def __init__(
        self,
        number: str,
        tools: Mapping[str, CalledTool],
        *,
        as_summary: bool,
        seal: Callable[[str], str] | None,
    ) -> None:
        self._number = number
        self._tools = tools
        self._as_summary = as_summary
        self._seal = seal
        self._items: list[OutputItem] = []
        self._is_open = False
        self._tokens: list[TokenLogprobs] = []

    def output(self) -> list[dict[str, Any]]:
        """Return the items as they are now."""
        return [item.item() for item in self._items]

    def scored(self, tokens: Sequence[TokenLogprobs]) -> None:
        """Take the logprobs of tokens, before the text that is made of them."""
        self._tokens += tokens

    def take(self, part: Delta) -> Iterator[Event]:
        """Add a part of the answer; yield the events."""
        match part:
            case ContentDelta(text):
                yield from self._in(MessageItem)
                yield from self._items[-1].add(text, self._logprobs_of(text))
            case ReasoningDelta(text):
                yield from self._in(ReasoningItem)
                # Its tokens are not looked for in the message.
                self._logprobs_of(text)
                yield from self._items[-1].add(text, [])
            case ToolCallBegin(_, id_, name):
                yield from self.end("completed")
                tool = self._tools.get(name) or CalledTool(name)
                yield from self._begin(self._call(id_, tool))
            case ToolCallArguments(_, fragment):
                yield from self._items[-1].add(fragment, [])

    def end(self, status: str) -> Iterator[Event]:
        """End the item that is being written; yield the events."""
        if not self._is_open:
            return
        self._is_open = False
        if status != "completed" and isinstance(self._items[-1], McpApprovalItem):
            # Nobody can say yes to half a call, and nobody has seen it.
            self._items.pop()
            return
        yield from self._items[-1].end(status)

    def give_up(self) -> Iterator[Event]:
        """End all that is not ended: the answer has failed. Yield the events."""
        yield from self.end("incomplete")
        for call in self.waiting():
            yield from call.give_up()

    # Calls of MCP servers ---------------------------------------------------------

    def lists(self, label: str, tools: Sequence[Any]) -> Iterator[Event]:
        """Add the tools of a server; yield the events."""
        item = McpListItem(self._number, len(self._items), label, tools)
        yield from self._begin(item)
        yield from self.end("completed")

    def approved(
        self, tool: CalledTool, arguments: str, approval_id: str
    ) -> Iterator[Event]:
        """Add a call that has the client's leave; yield the events."""
        call = McpCallItem(self._number, len(self._items), tool, approval_id)
        yield from self._begin(call)
        yield from call.add(arguments, [])
        yield from self.end("completed")

    def waiting(self) -> list[McpCallItem]:
        """Return the calls that are written, and not made."""
        return [
            each
            for each in self._items
            if isinstance(each, McpCallItem) and each.is_waiting
        ]

    def asks_client(self, since: int) -> bool:
        """Whether one of the items from this number on is a call for the client."""
        return any(
            isinstance(each, FunctionCallItem | CustomCallItem | McpApprovalItem)
            for each in self._items[since:]
        )

    def _call(self, id_: str, tool: CalledTool) -> OutputItem:
        place = len(self._items)
        if tool.server_label is not None:
            kind = McpApprovalItem if tool.needs_approval else McpCallItem
            return kind(self._number, place, tool)
        own = CustomCallItem if tool.is_custom else FunctionCallItem
        return own(self._number, place, self._call_id(id_, place), tool)

    def _call_id(self, id_: str, place: int) -> str:
        """Return the id of a call: the same one when the answer is made again.

        Ids that say something, as Kimi's do, stay.
        """
        if not id_.startswith("call_"):
            return id_
        return f"call_{self._number[:20]}{place:04x}"

    def _in(self, kind: type[MessageItem] | type[ReasoningItem]) -> Iterator[Event]:
        """Go on with an item of a kind, or begin one."""
        if self._is_open and isinstance(self._items[-1], kind):
            return
        yield from self.end("completed")
        place = len(self._items)
        if kind is MessageItem:
            yield from self._begin(MessageItem(self._number, place))
        else:
            yield from self._begin(
                ReasoningItem(
                    self._number, place, as_summary=self._as_summary, seal=self._seal
                )
            )

    def _begin(self, item: OutputItem) -> Iterator[Event]:
        self._items.append(item)
        self._is_open = True
        yield from item.begin()

    def _logprobs_of(self, text: str) -> list[Any]:
        """Return the logprobs of the tokens that a text of the answer is made of.

        Those before them, of reasoning and of marks, are dropped.
        """
        if not self._tokens:
            return []
        pieces = [token.chosen.piece for token in self._tokens]
        start = b"".join(pieces).find(text.encode())
        if start < 0:
            return []
        end, at, found = start + len(text.encode()), 0, []
        number = 0
        while at < end:
            piece = pieces[number]
            if at + len(piece) > start:
                found.append(self._tokens[number])
            at += len(piece)
            number += 1
        del self._tokens[:number]
        scored = chat_logprobs(found)["content"]
        return list(scored)
