"""What calls a response has made, so that none is made twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from django.db import transaction

from accounts.models import StoredResponse
from inference.api.responses_api.mcp.errors import CallsInterrupted
from inference.api.responses_api.output.outcomes import McpOutcome
from inference.api.responses_api.store.quota import size_of
from llm_manager.lib.quoting import storable
from llm_manager.lib.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Mapping


class CallJournal(Protocol):
    """Notes calls before they are made, and what came of them."""

    async def begin(self, id_: str, what: str, arguments: str) -> McpOutcome | None:
        """Note a call; return what came of it if it was made before.

        Raises CallsInterrupted if another call was made in its place.
        """

    async def end(self, id_: str, outcome: McpOutcome) -> None:
        """Note what came of a call."""

    def unused(self) -> list[str]:
        """Return the calls of earlier processes that were not asked for again."""


class NoJournal:
    """The journal of a response that ends with its client."""

    async def begin(self, id_: str, what: str, arguments: str) -> McpOutcome | None:
        """Note nothing."""
        return None

    async def end(self, id_: str, outcome: McpOutcome) -> None:
        """Note nothing."""

    def unused(self) -> list[str]:
        """Return nothing."""
        return []


class RowJournal:
    """The journal of a response in the background, in its row.

    ``calls`` are those of the processes that have written it before.
    """

    def __init__(self, response_id: str, calls: Mapping[str, Any]) -> None:
        self._response_id = response_id
        self._before = dict(calls)

    async def begin(self, id_: str, what: str, arguments: str) -> McpOutcome | None:
        """Note a call in the database, or find it there."""
        before = self._before.pop(id_, None)
        if before is None:
            await in_thread(self._write, id_, {"what": what, "arguments": arguments})
            return None
        if (before["what"], before["arguments"]) != (what, arguments):
            raise CallsInterrupted(
                "The server was restarted and could not go on with this response, "
                f"which had called {before['what']}; this call was not made again."
            )
        if "outcome" not in before:
            outcome = McpOutcome.failed(
                "The server was restarted during this call: it may have been made, its "
                "result is not known, and it was not made again."
            )
            await self.end(id_, outcome)
            return outcome
        return McpOutcome(**before["outcome"])

    async def end(self, id_: str, outcome: McpOutcome) -> None:
        """Note what came of a call in the database."""
        value = {"output": outcome.output, "error": outcome.error}
        await in_thread(self._write, id_, {"outcome": value})

    def unused(self) -> list[str]:
        """Return the calls that the answer has not come to."""
        return [each["what"] for each in self._before.values()]

    @transaction.atomic
    def _write(self, id_: str, members: dict[str, Any]) -> None:
        rows = StoredResponse.objects.select_for_update(no_key=True)
        row = rows.filter(
            pk=self._response_id, status__in=StoredResponse.UNFINISHED
        ).first()
        if row is None:
            raise CallsInterrupted("The response was ended meanwhile.")
        before = row.mcp
        calls = dict(before.get("calls", {}))
        calls[id_] = {**calls.get(id_, {}), **storable(members)}
        row.mcp = {**before, "calls": calls}
        row.size += size_of(row.mcp) - size_of(before)
        row.save(update_fields=["mcp", "size"])
