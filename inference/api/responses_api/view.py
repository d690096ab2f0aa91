"""POST /v1/responses and /v1/responses/input_tokens."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from accounts.errors import ModelNotAllowed
from accounts.keys.key_access import allowed_model_ids
from accounts.limits.demand import Tokens
from accounts.limits.throttling import request_ip
from accounts.session_access import SessionAccess
from inference.api.accounting.charge import Charge
from inference.api.errors import BadRequest
from inference.api.forwarding.forwarded import Forwarded
from inference.api.forwarding.hosted_tools import without_hosted
from inference.api.model_access import access_of, caller_of, key_of, owner_id_of
from inference.api.own_request import key_of_id
from inference.api.preparing.abilities import WRITES
from inference.api.responses import EventStreamResponse, json_response
from inference.api.responses_api.body.called_tools import tools_of
from inference.api.responses_api.body.mcp_tool import without_secrets
from inference.api.responses_api.body.request import (
    InputTokensRequest,
    ResponseRequest,
)
from inference.api.responses_api.body.tools import is_hosted
from inference.api.responses_api.body.translation import input_items
from inference.api.responses_api.descriptions import (
    input_tokens_schema,
    response_schema,
)
from inference.api.responses_api.mcp.journal import RowJournal
from inference.api.responses_api.mcp.plan import plan_of
from inference.api.responses_api.mcp.servers import mcp_servers
from inference.api.responses_api.output.response_format import (
    ResponseFormat,
    new_response_id,
)
from inference.api.responses_api.prepare import prepare_response
from inference.api.responses_api.rounds_view import ResponseDraft, RoundsView
from inference.api.responses_api.store import rows
from inference.api.responses_api.store.background import LATER, BackgroundWriter
from inference.api.responses_api.store.following import follow
from inference.api.responses_api.store.quota import check_quota, size_of
from inference.api.responses_api.storing import check_storing
from inference.api.tokens.view import (
    PreparedTokenizing,
    TokenizingView,
    paths_to_count,
)
from inference.engine.request import TokenizationRequest
from inference.transport.stream import new_request_id
from llm_manager.lib.threads import in_thread
from registry.models import Api
from registry.served_models import served_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from accounts.models import StoredResponse
    from inference.api.forwarding.view import FindModel
    from inference.api.preparing.completion import PreparedCompletion
    from inference.api.responses_api.mcp.plan import McpPlan
    from inference.api.responses_api.store.background import WritingView
    from inference.engine.request import ModelRequest
    from registry.models import Model

#: How long the engine's events of a response in the background are kept, for another
#: process to go on with it: longer than an update of the server takes.
_KEPT_S = 3600


@dataclass(frozen=True, slots=True)
class Keeping:
    """What is stored of a request, with its response."""

    body: ResponseRequest
    context: rows.PriorItems
    owner_id: int


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


class ResponsesView(RoundsView):
    """POST /v1/responses."""

    api = Api.RESPONSES
    keeping: Keeping | None = None
    #: Whether MCP servers have to be asked for their tools before the prompt is made.
    is_listing = False
    #: Finds the model of the target that is asked.
    find_here: FindModel

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
        return self._of_draft()

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

    def _of_draft(self) -> PreparedCompletion:
        assert self.draft is not None  # noqa: S101 - prepare() has made it
        return self.prepare_draft(self.draft, self.find_here, self.left_out)

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
        prepared = self._of_draft()
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


class BackgroundView(ResponsesView):
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
        return self._of_draft()

    def named(self, request: Request, name: str) -> Model:
        """Return the model; the row names the target that a route has chosen.

        A key of the route uses it. Raises what model_find raises.
        """
        try:
            return super().named(request, name)
        except ModelNotAllowed:
            model = served_model(name)
            allowed = allowed_model_ids(access_of(request)) or ()
            routes = model.routed_by.filter(route__is_enabled=True)
            if not routes.filter(route_id__in=allowed).exists():
                raise
            return model

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


#: Writes this process' responses in the background.
background_writer = BackgroundWriter(BackgroundView)


class InputTokensView(TokenizingView):
    """POST /v1/responses/input_tokens."""

    def prepare(self, request: Request) -> PreparedTokenizing:
        """Return the request to a tokenizer. Raises BadRequest."""
        body = InputTokensRequest.parse(request.data)
        context = rows.PriorItems()
        if rows.is_open():
            resolved, context = rows.context_of(body, owner_id_of(request))
            body = body.model_copy(update={"input": resolved.input})
        else:
            check_storing(body, self.left_out)
        plan = plan_of(
            body, context.before, input_items(body), caller=caller_of(request).key
        )
        if plan.unlisted():
            raise BadRequest(
                "The tokens of an MCP server's tools can be counted once 'input' has "
                "its 'mcp_list_tools', as an answer has it.",
                param="tools",
                code="unsupported_parameter",
            )
        model = self.find_model(request, body.model, WRITES)
        prepared = prepare_response(
            body,
            lambda _: model,
            caller_of(request),
            self.left_out,
            response_id=new_response_id(),
            before=context.before,
            plan=plan,
        )
        (generation,) = prepared.requests
        counted = TokenizationRequest(
            request_id=new_request_id(),
            text=generation.prompt,
            add_special_tokens=generation.add_special_tokens,
            media_marker=generation.media_marker,
            sound_marker=generation.sound_marker,
        )
        paths = paths_to_count(model, counted)
        return PreparedTokenizing(counted, paths, media=prepared.media)

    @input_tokens_schema
    async def post(
        self, request: Request, prepared: PreparedTokenizing
    ) -> HttpResponseBase:
        """Count the tokens of a request."""
        tokenized = await self.answer(prepared)
        return json_response(
            {
                "object": "response.input_tokens",
                "input_tokens": tokenized.count,
            }
        )
