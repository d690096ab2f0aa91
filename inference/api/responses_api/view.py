"""POST /v1/responses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from accounts.limits.throttling import request_ip
from accounts.session_access import SessionAccess
from inference.api.accounting.charge import Charge
from inference.api.errors import BadRequest
from inference.api.forwarding.forwarded import Forwarded
from inference.api.forwarding.hosted_tools import without_hosted
from inference.api.model_access import access_of, caller_of, key_of, owner_id_of
from inference.api.preparing.abilities import WRITES
from inference.api.responses import EventStreamResponse, json_response
from inference.api.responses_api.background_view import (
    InheritedCharge,
    background_writer,
)
from inference.api.responses_api.body.called_tools import tools_of
from inference.api.responses_api.body.mcp_tool import without_secrets
from inference.api.responses_api.body.request import ResponseRequest
from inference.api.responses_api.body.tools import is_hosted
from inference.api.responses_api.body.translation import input_items
from inference.api.responses_api.descriptions import response_schema
from inference.api.responses_api.mcp.plan import plan_of
from inference.api.responses_api.mcp.servers import mcp_servers
from inference.api.responses_api.output.response_format import new_response_id
from inference.api.responses_api.rounds_view import ResponseDraft, RoundsView
from inference.api.responses_api.store import rows
from inference.api.responses_api.store.following import follow
from inference.api.responses_api.store.quota import check_quota, size_of
from inference.api.responses_api.storing import check_storing
from llm_manager.lib.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from accounts.models import StoredResponse
    from inference.api.forwarding.view import FindModel
    from inference.api.preparing.completion import PreparedCompletion
    from inference.engine.request import ModelRequest


@dataclass(frozen=True, slots=True)
class Keeping:
    """What is stored of a request, with its response."""

    body: ResponseRequest
    context: rows.PriorItems
    owner_id: int


class ResponsesView(RoundsView):
    """POST /v1/responses."""

    keeping: Keeping | None = None
    #: Whether MCP servers have to be asked for their tools before the prompt is made.
    is_listing = False

    def prepare(
        self, request: Request
    ) -> PreparedCompletion | Forwarded | ResponseDraft:
        """Return the generation requests of a response, and its format.

        Or its draft, if the tools of MCP servers are not known yet.
        """
        body = ResponseRequest.parse(request.data)
        self.recording.labels(body.metadata)
        return self.aimed(request, body, WRITES, partial(self._prepare_here, request))

    def forwardable(
        self, body: ResponseRequest, members: dict[str, Any]
    ) -> Mapping[str, Any]:
        """Return a body without hosted tools.

        Raises BadRequest for MCP servers that may not be called, wherever.
        """
        mcp_servers(tool for tool, _ in tools_of(body.tools, input_items(body)))
        sent, paths = without_hosted(members, is_hosted)
        self.left_out.add(*paths)
        return sent

    def _prepare_here(
        self, request: Request, body: ResponseRequest, find_model: FindModel
    ) -> PreparedCompletion | ResponseDraft:
        """Return what workers compute of a response, and note what is stored of it."""
        owner_id, context, task = owner_id_of(request), rows.PriorItems(), body
        if rows.is_open():
            _check_kept(body, request)
            resolved, context = rows.context_of(body, owner_id)
            task = body.model_copy(update={"input": resolved.input})
        else:
            check_storing(body, self.left_out)
        is_stored = rows.is_open() and body.store is not False
        plan = plan_of(
            task, context.before, input_items(task), caller=caller_of(request).key
        )
        if plan.servers and not body.background:
            _check_repeatable(request)
        if self.draft is not None:
            # Another target of a route: servers are asked once.
            plan = plan.with_tools_of(self.draft.plan)
        self.draft = ResponseDraft(
            task, context.before, new_response_id(), plan, is_stored
        )
        if is_stored:
            check_quota(owner_id, size_of(context.input))
            self.keeping = Keeping(body, context, owner_id)
        self.find_here = find_model
        self.is_listing = bool(plan.unlisted())
        if self.is_listing:
            # A client without access to the model has no business with its servers.
            find_model(task.model)
            return self.draft
        return self.of_draft()

    def model_requests(
        self, prepared: PreparedCompletion | Forwarded | ResponseDraft
    ) -> Sequence[ModelRequest]:
        """Return the sequences; those of a draft are not known yet."""
        return () if isinstance(prepared, ResponseDraft) else prepared.requests

    @response_schema
    async def post(
        self,
        request: Request,
        prepared: PreparedCompletion | Forwarded | ResponseDraft,
    ) -> HttpResponseBase:
        """Answer the items of a conversation."""
        if isinstance(prepared, ResponseDraft):
            prepared = await self._listed(prepared)
        if (
            isinstance(prepared, Forwarded)
            or self.keeping is None
            or not self.keeping.body.background
        ):
            return await self.run(prepared)
        row = await in_thread(self._queue, request, prepared.format, self.keeping)
        background_writer.start(row.pk, self._hand_over())
        if self.keeping.body.stream:
            return EventStreamResponse(follow(row.pk, -1))
        return json_response(row.response)

    async def _listed(self, draft: ResponseDraft) -> PreparedCompletion:
        """Ask servers for their tools; return what is prepared with these."""
        try:
            self.draft = replace(draft, plan=await draft.plan.listed())
            self.is_listing = False
            prepared: PreparedCompletion = await self._with_media(
                await in_thread(self._enter_listed)
            )
        except Exception:
            self.is_listing = False
            if self.charge.may_count:
                await in_thread(self._count, ())
            raise
        return prepared

    def _enter_listed(self) -> PreparedCompletion:
        prepared = self.of_draft()
        self.recording.leaves_out(self.left_out.header())
        self._count(prepared.requests)
        return prepared

    def _count(self, requests: Sequence[ModelRequest]) -> None:
        """Count the request, once its prompt is made."""
        if not self.is_listing:
            super()._count(requests)

    async def keep(self, prepared: PreparedCompletion) -> None:
        """Store the response that is complete."""
        if self.keeping is not None:
            await in_thread(self._store, prepared.format, self.keeping)

    def _store(self, format_: Any, keeping: Keeping) -> None:
        rows.response_add(
            format_.final,
            keeping.context,
            keeping.owner_id,
            previous_id=keeping.body.previous_response_id,
        )

    def _queue(
        self, request: Request, format_: Any, keeping: Keeping
    ) -> StoredResponse:
        """Store a response that is yet to be written."""
        assert self.draft is not None  # noqa: S101 - prepare() has made it
        queued = format_.queued()
        key = key_of(request)
        body = keeping.body.model_dump(
            mode="json", by_alias=True, exclude_unset=True, exclude_none=True
        )
        return rows.response_add(
            queued,
            keeping.context,
            keeping.owner_id,
            previous_id=keeping.body.previous_response_id,
            is_background=True,
            body=without_secrets(body),
            mcp=self.draft.plan.kept(),
            key_id=0 if key is None else key.pk,
            client_address=request_ip(request),
            **background_writer.claim(),
        )

    def _hand_over(self) -> InheritedCharge:
        """Return what the view that writes the response gets of this one."""
        charge, self.charge = self.charge, Charge()
        # The request has one row of usage: that of who writes the response.
        self.recording.drop()
        return InheritedCharge(charge, None if self.draft is None else self.draft.plan)


def _check_repeatable(request: Request) -> None:
    """Refuse a key under which calls would be made again. Raises BadRequest."""
    if "Idempotency-Key" in request.headers:
        raise BadRequest(
            "MCP servers are not called for a request with an Idempotency-Key, nor in "
            "a batch: a repeated request would call them again. 'background': true "
            "keeps what was called.",
            param="tools",
            code="unsupported_parameter",
        )


def _check_kept(body: ResponseRequest, request: Request) -> None:
    """Refuse what ``store: false`` contradicts. Raises BadRequest."""
    for name in ("background", "conversation"):
        if getattr(body, name) and body.store is False:
            raise BadRequest(
                f"'{name}' is kept, and 'store': false keeps nothing; send one of "
                "them.",
                param=name,
            )
    if body.background and isinstance(access_of(request), SessionAccess):
        raise BadRequest("'background' needs an API key.", param="background")
