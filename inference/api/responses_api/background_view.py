"""Writes a response that is stored, without a client that waits for it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

from accounts.limits.demand import Tokens
from inference.api.model_access import access_of, caller_of, target_find
from inference.api.own_request import key_of_id
from inference.api.preparing.abilities import WRITES
from inference.api.responses_api.body.request import ResponseRequest
from inference.api.responses_api.body.translation import input_items
from inference.api.responses_api.mcp.journal import RowJournal
from inference.api.responses_api.mcp.plan import plan_of
from inference.api.responses_api.output.response_format import ResponseFormat
from inference.api.responses_api.rounds_view import ResponseDraft, RoundsView
from inference.api.responses_api.store import rows
from inference.api.responses_api.store.background import LATER, BackgroundWriter
from llm_manager.lib.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from accounts.models import StoredResponse
    from inference.api.accounting.charge import Charge
    from inference.api.forwarding.forwarded import Forwarded
    from inference.api.preparing.completion import PreparedCompletion
    from inference.api.responses_api.mcp.plan import McpPlan
    from inference.api.responses_api.store.background import WritingView
    from inference.engine.request import ModelRequest
    from registry.models import Model

#: How long the engine's events of a response in the background are kept, for another
#: process to go on with it: longer than an update of the server takes.
_KEPT_S = 3600


class InheritedCharge:
    """What the request of the client has, for who writes its response.

    That is what it has taken from its limits, and what it may call: with secrets, which
    are nowhere else.
    """

    def __init__(self, charge: Charge, plan: McpPlan | None = None) -> None:
        self._charge = charge
        self._plan = plan

    def to(self, view: WritingView) -> None:
        """Give it to the view that writes the response."""
        writer = cast("BackgroundView", view)
        writer.inherited = self._charge
        writer.plan = self._plan

    def give_back(self) -> None:
        """Give it back: nobody writes here, and who does later takes it again."""
        self._charge.settle_later(Tokens())


class BackgroundView(RoundsView):
    """Writes a stored response, as POST /v1/responses streams one."""

    schema = None
    kept_s = _KEPT_S
    one_by_one = True
    inherited: Charge | None = None
    #: What the request of the client may call; None if this process has not had it.
    plan: McpPlan | None = None

    def __init__(self, row: StoredResponse) -> None:
        super().__init__()
        self.row = row

    async def _prepared(self, request: HttpRequest) -> PreparedCompletion:
        """Return what is prepared of the stored request."""
        if self.inherited is not None:
            self.charge = self.inherited
        self.request.auth = await in_thread(key_of_id, self.row.key_id)
        self.recording.caller_is(access_of(self.request))
        await in_thread(self.check_permissions, self.request)
        if self.recording.capture.is_on:
            await self.recording.capture.take_request(self.row.body)
        prepared: PreparedCompletion = await self._with_media(
            await in_thread(self.enter)
        )
        return prepared

    def prepare(self, request: Request) -> PreparedCompletion:
        """Return the generation requests of the stored request."""
        row = self.row
        body = ResponseRequest.parse({**row.body, "stream": True})
        self.recording.labels(body.metadata)
        resolved, context = rows.context_of(body, row.owner_id, until=row)
        task = body.model_copy(update={"input": resolved.input})
        plan = self.plan
        if plan is None:
            lost = row.mcp.get("secret", ())
            plan = plan_of(
                *(task, context.before, input_items(task), lost),
                caller=caller_of(request).key,
            )
            plan = plan.as_kept(row.mcp)
        self.journal = RowJournal(row.pk, row.mcp.get("calls", {}))
        self.find_here = partial(self.find_model, request, ability=WRITES)
        self.draft = ResponseDraft(
            task,
            context.before,
            row.pk,
            plan,
            is_stored=True,
            created_at=row.response["created_at"],
        )
        return self.of_draft()

    def named(self, request: Request, name: str) -> Model:
        """Return the model; the row names the target that a route has chosen."""
        return target_find(name, access_of(request))

    async def post(
        self,
        request: Request,
        prepared: PreparedCompletion | Forwarded | ResponseDraft,
    ) -> HttpResponseBase:
        """Write the response."""
        assert not isinstance(prepared, ResponseDraft)  # noqa: S101 - tools are kept
        return await self.run(prepared)

    async def keep(self, prepared: PreparedCompletion) -> None:
        """Note the end of the response."""
        format_ = prepared.format
        assert isinstance(format_, ResponseFormat)  # noqa: S101 - prepare() made it
        await self.save_events()
        await in_thread(rows.response_finish, self.row.pk, format_.final)

    def handle_exception(self, exc: Exception) -> Any:
        """Return the answer to an exception; one that is tried again has no row yet."""
        response = super().handle_exception(exc)
        if self.inherited is None and response.status_code in LATER:
            self.recording.drop()
        return response

    def _count(self, requests: Sequence[ModelRequest]) -> None:
        """Count the request, unless the client's own has been counted."""
        if self.inherited is None:
            super()._count(requests)


#: Writes this process' responses in the background.
background_writer = BackgroundWriter(BackgroundView)
