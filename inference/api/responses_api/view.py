"""POST /v1/responses and /v1/responses/input_tokens."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from accounts.limits.demand import Tokens
from accounts.limits.throttling import request_ip
from accounts.session_access import SessionAccess
from inference.api.accounting.charge import Charge
from inference.api.errors import BadRequest
from inference.api.forwarding.forwarded import Forwarded
from inference.api.generation_view import GenerationView
from inference.api.media.reading import check_countable
from inference.api.model_access import access_of, caller_of, key_of, owner_id_of
from inference.api.own_request import key_of_id
from inference.api.preparing.abilities import WRITES
from inference.api.responses import EventStreamResponse, json_response
from inference.api.responses_api.body.request import (
    InputTokensRequest,
    ResponseRequest,
)
from inference.api.responses_api.descriptions import (
    input_tokens_schema,
    response_schema,
)
from inference.api.responses_api.output.response_format import (
    ResponseFormat,
    new_response_id,
)
from inference.api.responses_api.prepare import prepare_response
from inference.api.responses_api.store import rows
from inference.api.responses_api.store.background import LATER, BackgroundWriter
from inference.api.responses_api.store.following import follow
from inference.api.responses_api.store.quota import check_quota, size_of
from inference.api.responses_api.storing import check_storing
from inference.api.tokens.view import PreparedTokenizing, TokenizingView, unloaded_paths
from inference.engine.request import TokenizationRequest
from inference.transport.stream import new_request_id
from llm_manager.lib.threads import in_thread
from registry.models import Api

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from accounts.models import StoredResponse
    from inference.api.forwarding.view import FindModel
    from inference.api.preparing.completion import PreparedCompletion
    from inference.api.responses_api.store.background import WritingView
    from inference.engine.request import ModelRequest

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
    """What the request of the client has taken from its limits, for who writes it."""

    def __init__(self, charge: Charge) -> None:
        self._charge = charge

    def to(self, view: WritingView) -> None:
        """Give it to the view that writes the response."""
        cast("BackgroundView", view).inherited = self._charge

    def give_back(self) -> None:
        """Give it back: nobody writes here, and who does later takes it again."""
        self._charge.settle_later(Tokens())


class ResponsesView(GenerationView):
    """POST /v1/responses."""

    api = Api.RESPONSES
    keeping: Keeping | None = None

    def prepare(self, request: Request) -> PreparedCompletion | Forwarded:
        """Return the generation requests of a response, and its format."""
        body = ResponseRequest.parse(request.data)
        self.recording.labels(body.metadata)
        return self.aimed(request, body, WRITES, partial(self._prepare_here, request))

    def _prepare_here(
        self, request: Request, body: ResponseRequest, find_model: FindModel
    ) -> PreparedCompletion:
        """Return what workers compute of a response, and note what is stored of it."""
        owner_id, context, task = owner_id_of(request), rows.PriorItems(), body
        if rows.is_open():
            _check_kept(body, request)
            resolved, context = rows.context_of(body, owner_id)
            task = body.model_copy(update={"input": resolved.input})
        else:
            check_storing(body, self.left_out)
        is_stored = rows.is_open() and body.store is not False
        prepared = prepare_response(
            task,
            find_model,
            caller_of(request),
            self.left_out,
            response_id=new_response_id(),
            is_stored=is_stored,
            before=context.before,
        )
        if is_stored:
            check_quota(owner_id, size_of(context.input))
            self.keeping = Keeping(body, context, owner_id)
        return prepared

    @response_schema
    async def post(
        self, request: Request, prepared: PreparedCompletion | Forwarded
    ) -> HttpResponseBase:
        """Answer the items of a conversation."""
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
        queued = format_.queued()
        key = key_of(request)
        return rows.response_add(
            queued,
            keeping.context,
            keeping.owner_id,
            previous_id=keeping.body.previous_response_id,
            is_background=True,
            body=keeping.body.model_dump(
                mode="json", by_alias=True, exclude_unset=True, exclude_none=True
            ),
            key_id=0 if key is None else key.pk,
            client_address=request_ip(request),
            **background_writer.claim(),
        )

    def _hand_over(self) -> InheritedCharge:
        """Return what the view that writes the response gets of this one."""
        charge, self.charge = self.charge, Charge()
        # The request has one row of usage: that of who writes the response.
        self.recording.drop()
        return InheritedCharge(charge)


class BackgroundView(ResponsesView):
    """Writes a stored response, as POST /v1/responses streams one."""

    schema = None
    kept_s = _KEPT_S
    one_by_one = True
    inherited: Charge | None = None

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
        return prepare_response(
            body.model_copy(update={"input": resolved.input}),
            partial(self.find_model, request, ability=WRITES),
            caller_of(request),
            self.left_out,
            response_id=row.pk,
            created_at=row.response["created_at"],
            is_stored=True,
            before=context.before,
        )

    async def post(
        self, request: Request, prepared: PreparedCompletion | Forwarded
    ) -> HttpResponseBase:
        """Write the response."""
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
        model = self.find_model(request, body.model, WRITES)
        prepared = prepare_response(
            body,
            lambda _: model,
            caller_of(request),
            self.left_out,
            response_id=new_response_id(),
            before=context.before,
        )
        (generation,) = prepared.requests
        check_countable(prepared.media)
        return PreparedTokenizing(
            TokenizationRequest(
                request_id=new_request_id(),
                text=generation.prompt,
                add_special_tokens=generation.add_special_tokens,
                parse_special=True,
            ),
            unloaded_paths(model),
        )

    @input_tokens_schema
    async def post(
        self, request: Request, prepared: PreparedTokenizing
    ) -> HttpResponseBase:
        """Count the tokens of a request."""
        tokenized = await self.answer(prepared)
        return json_response(
            {
                "object": "response.input_tokens",
                "input_tokens": len(tokenized.tokens),
            }
        )
