"""The rounds of one response: the model answers, its calls are made, it answers again.

Each round is a generation of its own. To those who read events it is one generation
with a sequence for each round, so that its usage is the sum of them.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Protocol

from inference.api.responses_api.mcp.client import call_tool
from inference.api.responses_api.mcp.errors import CallsInterrupted
from inference.api.responses_api.output.outcomes import McpOutcome
from inference.api.streaming.generation import Generation
from inference.api.streaming.usage import AnswerUsage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference.api.responses_api.mcp.journal import CallJournal
    from inference.api.responses_api.mcp.plan import McpPlan
    from inference.api.responses_api.output.mcp_items import McpCallItem
    from inference.api.responses_api.output.response_format import ResponseFormat
    from inference.api.streaming.generation import Client, Numbered
    from inference.engine.request import ModelRequest
    from inference.transport.queue import ModelQueue


class RoundSource(Protocol):
    """What a response needs to go on after calls."""

    async def next_round(
        self, number: int, output: Sequence[dict[str, Any]], *, may_call: bool
    ) -> tuple[Client, Sequence[ModelRequest]] | None:
        """Return what answers next; None if the answer may have no more tokens.

        ``output`` are the items so far. Without ``may_call`` no server is called again.
        """


class Rounds(Generation):
    """The generations of one response, one after the other.

    ``usages`` are those of the rounds; ``called`` are the tools of servers that were
    called, or may have been, as ``server.tool``.
    """

    def __init__(
        self,
        plan: McpPlan,
        format_: ResponseFormat,
        source: RoundSource,
        journal: CallJournal,
    ) -> None:
        super().__init__()
        self.usages: list[AnswerUsage] = []
        self._plan = plan
        self._format = format_
        self._source = source
        self._journal = journal
        self._queue: ModelQueue | None = None
        self._current = Generation()
        self._between: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._begins_at = 0
        self.called: list[str] = []

    async def start(
        self, client: Client, requests: Sequence[ModelRequest], queue: ModelQueue
    ) -> None:
        """Begin with the calls that have the client's leave, or with the model."""
        self._queue = queue
        if not self._plan.approved:
            await self._begin(client, requests)
            return
        for request in self._plan.approved:
            tool = self._plan.tool_of(request.server_label, request.name)
            self._format.approved(tool, request.arguments, request.id)
        self._between = asyncio.create_task(self._first(client))

    @property
    def is_done(self) -> bool:
        """Whether the model has answered, and nothing is to be called."""
        return (
            self._between is None
            and self._current.is_done
            and not self._format.waiting()
            and not self._journal.unused()
        )

    async def started(self, within_s: float) -> bool:
        """Wait until the model has begun to answer; return False after the timeout."""
        if self._between is not None:
            return False
        return await self._current.started(within_s)

    async def events(self, timeout_s: float | None = None) -> list[Numbered]:
        """Wait for an event of the model, or for what came of a call.

        Raises InferenceError.
        """
        if self._between is None:
            if not self._current.is_done:
                return await self._of_model(timeout_s)
            self._between = asyncio.create_task(self._advance())
        heard = asyncio.create_task(self._news.wait())
        try:
            await asyncio.wait(
                {self._between, heard},
                timeout=timeout_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            heard.cancel()
        self._news.clear()
        if self._between.done():
            ended, self._between = self._between, None
            ended.result()
        return []

    async def give_up(self, index: int) -> None:
        """End a round whose answer is complete."""
        if index == len(self.usages) - 1:
            await self._current.give_up(0)

    async def aclose(self) -> None:
        """Give up what is not done: a call, or an answer. Idempotent."""
        between, self._between = self._between, None
        if between is not None:
            between.cancel()
            await asyncio.gather(between, return_exceptions=True)
        await self._current.aclose()

    async def _of_model(self, timeout_s: float | None) -> list[Numbered]:
        number = len(self.usages) - 1
        arrived = await self._current.events(timeout_s)
        for _, event in arrived:
            self.usages[number].take(event)
        return [(number, event) for _, event in arrived]

    async def _begin(self, client: Client, requests: Sequence[ModelRequest]) -> None:
        assert self._queue is not None  # noqa: S101 - start() has set it
        self._begins_at = self._format.number
        self.usages.append(AnswerUsage())
        self._current = Generation()
        await self._current.start(client, requests, self._queue)

    async def _first(self, client: Client) -> None:
        """Make the calls that have the client's leave, and begin."""
        await self._make_calls()
        await self._go_on(0, client)

    async def _advance(self) -> None:
        """Make the calls of a round; begin the next one, if there is one."""
        if not self._format.waiting():
            self._check_journal()
        await self._make_calls()
        if self._format.goes_on(self._begins_at):
            await self._current.aclose()
            await self._go_on(len(self.usages))

    async def _go_on(self, number: int, client: Client | None = None) -> None:
        found = await self._source.next_round(
            number,
            self._format.output(),
            may_call=len(self.called) < self._plan.max_calls,
        )
        if found is None:
            self._format.cut()
            return
        new_client, requests = found
        await self._begin(client or new_client, requests)

    async def _make_calls(self) -> None:
        for call in self._format.waiting():
            self._format.made(call, await self._outcome(call))
            self._news.set()

    async def _outcome(self, call: McpCallItem) -> McpOutcome:
        """Make a call, once; return what came of it."""
        server = self._plan.servers[call.label]
        if len(self.called) >= self._plan.max_calls:
            return McpOutcome.failed(
                "The call was not made: the response has had all of its calls "
                "(max_tool_calls, api.mcp_max_calls).",
                429,
            )
        arguments = _arguments(call.arguments)
        if arguments is None:
            return McpOutcome.failed(
                "The call was not made: its arguments are no JSON object.", 400
            )
        what = f"{call.label}.{call.name}"
        self.called.append(what)
        earlier = await self._journal.begin(call.id, what, call.arguments)
        if earlier is not None:
            return earlier
        if server.has_lost_secrets:
            outcome = McpOutcome.failed(
                "The call was not made: the server was restarted, and it keeps no "
                "authorization and no headers of MCP servers."
            )
        else:
            outcome = await call_tool(server, call.name, arguments)
        await self._journal.end(call.id, outcome)
        return outcome

    def _check_journal(self) -> None:
        """Raise CallsInterrupted if calls were made that the answer does not have."""
        if lost := self._journal.unused():
            raise CallsInterrupted(
                "The server was restarted and could not go on with this response, "
                f"which had called {', '.join(lost)}; these calls were not made again."
            )


def _arguments(text: str) -> dict[str, Any] | None:
    """Return the arguments of a call; None if they are no object."""
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
