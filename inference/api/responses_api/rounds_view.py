"""The base of the views whose answers may have several rounds, with calls between."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from accounts.limits.demand import Tokens
from inference.api.accounting.charge import Charge
from inference.api.failures import NO_RETRY
from inference.api.generation_view import GenerationView
from inference.api.left_out import LeftOut
from inference.api.model_access import caller_of
from inference.api.responses_api.body.items import ITEM, InputMessage
from inference.api.responses_api.body.mcp_tool import McpTool
from inference.api.responses_api.mcp.journal import NoJournal
from inference.api.responses_api.mcp.rounds import Rounds
from inference.api.responses_api.prepare import prepare_response
from inference.api.streaming import collecting
from llm_manager.lib.quoting import quote
from llm_manager.lib.threads import in_thread
from registry.models import Api

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.http import HttpResponse

    from inference.api.error_shapes.failure import Failure
    from inference.api.forwarding.view import FindModel
    from inference.api.preparing.completion import PreparedCompletion
    from inference.api.responses_api.body.items import InputItem
    from inference.api.responses_api.body.request import ResponseRequest
    from inference.api.responses_api.mcp.journal import CallJournal
    from inference.api.responses_api.mcp.plan import McpPlan
    from inference.api.responses_api.output.response_format import ResponseFormat
    from inference.api.streaming.collecting import AnswerLimits
    from inference.api.streaming.generation import Client, Generation
    from inference.engine.media.inputs import MediaInput
    from inference.engine.request import ModelRequest
    from registry.model_facts import ModelFacts


@dataclass(frozen=True, slots=True)
class ResponseDraft:
    """A request for a response before its prompt is made.

    ``before`` are the items of what it goes on from.
    """

    body: ResponseRequest
    before: Sequence[tuple[InputItem, str]]
    response_id: str
    plan: McpPlan
    is_stored: bool
    created_at: int | None = None

    def after(
        self,
        output: Sequence[dict[str, Any]],
        max_tokens: int | None,
        *,
        may_call: bool,
    ) -> ResponseDraft:
        """Return the draft of what answers to the items so far.

        The model need not call a second time where it had to. Without ``may_call`` it
        is shown no tools of MCP servers.
        """
        body = self.body
        given = body.input
        if isinstance(given, str):
            given = [InputMessage(role="user", content=given)]
        items = [*given, *map(ITEM.validate_python, output)]
        tools = [t for t in body.tools if may_call or not isinstance(t, McpTool)]
        has_called = any(item["type"] == "mcp_call" for item in output)
        choice = body.tool_choice
        if choice != "none" and (has_called or not may_call):
            choice = "auto"
        update = {
            "input": items,
            "tools": tools,
            "tool_choice": choice,
            "max_output_tokens": max_tokens,
        }
        return replace(self, body=body.model_copy(update=update))


class RoundsView(GenerationView):
    """A view of a response that may call MCP servers."""

    api = Api.RESPONSES
    draft: ResponseDraft | None = None
    #: Finds the model of the target that is asked.
    find_here: FindModel
    rounds: Rounds | None = None
    journal: CallJournal = NoJournal()
    #: What the rounds after the first have taken from limits, with their numbers.
    _charges: list[tuple[int, Charge]]
    _media: tuple[MediaInput, ...] = ()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._charges = []

    def prepare_draft(
        self,
        draft: ResponseDraft,
        find_model: Callable[[str], ModelFacts],
        left_out: LeftOut,
    ) -> PreparedCompletion:
        """Return the generation requests of a draft, as prepare_response does."""
        return prepare_response(
            draft.body,
            find_model,
            caller_of(self.request),
            left_out,
            response_id=draft.response_id,
            created_at=draft.created_at,
            is_stored=draft.is_stored,
            before=draft.before,
            plan=draft.plan,
        )

    def of_draft(self) -> PreparedCompletion:
        """Return the generation requests of this request's draft."""
        assert self.draft is not None  # noqa: S101 - prepare() has made it
        return self.prepare_draft(self.draft, self.find_here, self.left_out)

    def generation(self, prepared: PreparedCompletion) -> Generation:
        """Return the rounds of a response that may call servers."""
        if self.draft is None or not self.draft.plan.servers:
            return super().generation(prepared)
        format_ = cast("ResponseFormat", prepared.format)
        first = prepared.requests[0]
        self._media = (*first.media, *first.sounds)
        self.rounds = Rounds(self.draft.plan, format_, self, self.journal)
        return self.rounds

    async def collected(
        self,
        generation: Generation,
        prepared: PreparedCompletion,
        limits: AnswerLimits,
    ) -> Any:
        """Return the whole answer; one with rounds is put together as its stream is."""
        if self.rounds is None:
            return await super().collected(generation, prepared, limits)
        format_ = cast("ResponseFormat", prepared.format)
        try:
            async for _ in collecting.pieces(
                generation, format_, limits, self.recording
            ):
                pass
        except BaseException:
            for number, charge in self._charges:
                charge.settle_later(self._used_in(number))
            raise
        return format_.final

    def failure_response(self, failure: Failure) -> HttpResponse:
        """Return the error of a whole answer; it names the calls that were made.

        A stream has them as items. Who sends the request again makes them again.
        """
        if self.rounds is not None and (called := self.rounds.called):
            names = ", ".join(map(quote, dict.fromkeys(called)))
            failure = replace(
                failure,
                message=f"{failure.message} MCP servers were called before, and the "
                f"same request would call them again: {names}.",
                headers={**failure.headers, **dict(NO_RETRY)},
            )
        return super().failure_response(failure)

    async def next_round(
        self, number: int, output: Sequence[dict[str, Any]], *, may_call: bool
    ) -> tuple[Client, Sequence[ModelRequest]] | None:
        """Return what answers to the items so far; None if no tokens are left."""
        assert self.draft is not None and self.rounds is not None  # noqa: S101, PT018
        left = self.draft.body.max_output_tokens
        if left is not None:
            left -= sum(each.completion_tokens for each in self.rounds.usages)
            if left < 1:
                return None
        draft = self.draft.after(output, left, may_call=may_call)
        prepared = await in_thread(self._prepare_round, draft)
        if number == 0:
            return self._client, prepared.requests
        charge = Charge()
        self._charges.append((number, charge))
        await in_thread(charge.take_more, self.request, self.model, prepared.requests)
        client, _ = await self.client_for(prepared.body, sequences=1, part=number)
        return client, prepared.requests

    async def _fall_back(self) -> Any:
        """Return what is prepared for the next target; None once calls were made."""
        if self.rounds is not None and self.rounds.called:
            return None
        return await super()._fall_back()

    def used(self) -> Tokens:
        """Return the tokens of the first round: each of the others has its charge."""
        if self.rounds is None or not self.rounds.usages:
            return super().used()
        return self._used_in(0)

    async def settle(self) -> None:
        """Settle what each round has used; the first call counts."""
        for number, charge in self._charges:
            await charge.settle(self._used_in(number))
        await super().settle()

    def _prepare_round(self, draft: ResponseDraft) -> PreparedCompletion:
        model = self.model
        assert model is not None  # noqa: S101 - the first round has found it
        prepared = self.prepare_draft(draft, lambda _: model, LeftOut())
        # No call returns media: they are those of the first round.
        return prepared.with_media(self._media)

    def _used_in(self, number: int) -> Tokens:
        usages = [] if self.rounds is None else self.rounds.usages
        if number >= len(usages):
            return Tokens()
        used = usages[number].counts().beyond(self.replayed(number))
        return Tokens(used.prompt, used.cached, used.completion)
