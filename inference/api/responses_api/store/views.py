"""Stored responses and conversations: read, deleted, cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from accounts.models import Scope, StoredConversation, StoredItem, StoredResponse
from inference.api.body.request_body import Body
from inference.api.errors import BadRequest
from inference.api.model_access import owner_id_of
from inference.api.responses import EventStreamResponse, json_response
from inference.api.responses_api.body.items import Items
from inference.api.responses_api.store import descriptions, rows
from inference.api.responses_api.store.background import cancel
from inference.api.responses_api.store.following import follow
from inference.api.responses_api.store.listing import page_of
from inference.api.view import ApiView
from llm_manager.lib.quoting import quote, storable

if TYPE_CHECKING:
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

_Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]],
    Field(max_length=16),
]


class ConversationRequest(Body):
    """A new conversation."""

    items: Items = []
    """Its first items."""
    metadata: _Metadata = {}
    """Labels."""


class ConversationChangeRequest(Body):
    """A change of a conversation."""

    metadata: _Metadata
    """Labels that take the place of all earlier ones."""


class ConversationItemsRequest(Body):
    """Items that a conversation gets."""

    items: Annotated[Items, Field(min_length=1)]


class StoreView(ApiView):
    """A view of what is stored; 404 where nothing is."""

    required_scope = Scope.INFERENCE
    http_method_names = ["get", "head", "post", "delete"]

    def prepare(self, request: Request) -> Any:
        """Return what the handler of the method answers. Raises StoredNotFound."""
        if not rows.is_open():
            raise rows.NothingStored
        method = request.method or ""
        work = getattr(self, f"{method.lower()}_prepare".replace("head", "get"))
        return work(request, owner_id_of(request))

    def response_row(self, owner_id: int) -> StoredResponse:
        """Return the response of the route."""
        return rows.response_find(self.kwargs["response_id"], owner_id)

    def conversation_row(self, owner_id: int) -> StoredConversation:
        """Return the conversation of the route."""
        return rows.conversation_find(self.kwargs["conversation_id"], owner_id)


class StoredResponseView(StoreView):
    """GET and DELETE /v1/responses/{id}."""

    def get_prepare(self, request: Request, owner_id: int) -> Any:
        """Return the response, or the number after which its events are wanted."""
        row = self.response_row(owner_id)
        after = _events_wanted(request)
        if after is None:
            return {**row.response, "status": row.status}
        if not row.is_background:
            raise BadRequest(
                "Only a response in the background can be streamed again.",
                param="stream",
            )
        return row.pk, after

    @descriptions.retrieve_schema
    async def get(self, request: Request, found: Any) -> HttpResponseBase:
        """Return a stored response, or its events."""
        if isinstance(found, tuple):
            return EventStreamResponse(follow(*found))
        return json_response(found)

    def delete_prepare(self, request: Request, owner_id: int) -> Any:
        """Delete the response."""
        row = self.response_row(owner_id)
        deleted = {"id": row.pk, "object": "response", "deleted": True}
        rows.response_delete(row)
        return deleted

    @descriptions.delete_schema
    async def delete(self, request: Request, deleted: Any) -> HttpResponseBase:
        """Delete a stored response."""
        return json_response(deleted)


class CancelResponseView(StoreView):
    """POST /v1/responses/{id}/cancel."""

    def post_prepare(self, request: Request, owner_id: int) -> Any:
        """Cancel the response. Raises BadRequest."""
        row = self.response_row(owner_id)
        if not row.is_background:
            raise BadRequest(
                "Only a response in the background can be cancelled.",
                code="response_not_in_background",
            )
        return cancel(row)

    @descriptions.cancel_schema
    async def post(self, request: Request, response: Any) -> HttpResponseBase:
        """Cancel a response in the background; one that has ended stays as it is."""
        return json_response(response)


class InputItemsView(StoreView):
    """GET /v1/responses/{id}/input_items."""

    def get_prepare(self, request: Request, owner_id: int) -> Any:
        """Return a page of the items. Raises BadRequest."""
        row = self.response_row(owner_id)
        items = StoredItem.objects.filter(response=row, is_output=False)
        return page_of(items, request.GET)

    @descriptions.input_items_schema
    async def get(self, request: Request, page: Any) -> HttpResponseBase:
        """List the items of the input of a stored response."""
        return json_response(page)


class ConversationsView(StoreView):
    """POST /v1/conversations."""

    def post_prepare(self, request: Request, owner_id: int) -> Any:
        """Make a conversation."""
        body = ConversationRequest.parse(request.data)
        return _conversation(rows.conversation_add(owner_id, body.metadata, body.items))

    @descriptions.create_conversation_schema
    async def post(self, request: Request, conversation: Any) -> HttpResponseBase:
        """Make a conversation that responses can add to."""
        return json_response(conversation)


class ConversationView(StoreView):
    """GET, POST and DELETE /v1/conversations/{id}."""

    def get_prepare(self, request: Request, owner_id: int) -> Any:
        """Return the conversation."""
        return _conversation(self.conversation_row(owner_id))

    @descriptions.retrieve_conversation_schema
    async def get(self, request: Request, conversation: Any) -> HttpResponseBase:
        """Return a conversation."""
        return json_response(conversation)

    def post_prepare(self, request: Request, owner_id: int) -> Any:
        """Change the labels."""
        row = self.conversation_row(owner_id)
        body = ConversationChangeRequest.parse(request.data)
        row.metadata = storable(body.metadata)
        row.save(update_fields=["metadata"])
        return _conversation(row)

    @descriptions.change_conversation_schema
    async def post(self, request: Request, conversation: Any) -> HttpResponseBase:
        """Change the labels of a conversation."""
        return json_response(conversation)

    def delete_prepare(self, request: Request, owner_id: int) -> Any:
        """Delete the conversation."""
        row = self.conversation_row(owner_id)
        deleted = {"id": row.pk, "object": "conversation.deleted", "deleted": True}
        rows.conversation_delete(row)
        return deleted

    @descriptions.delete_conversation_schema
    async def delete(self, request: Request, deleted: Any) -> HttpResponseBase:
        """Delete a conversation; its responses stay."""
        return json_response(deleted)


class ConversationItemsView(StoreView):
    """GET and POST /v1/conversations/{id}/items."""

    def get_prepare(self, request: Request, owner_id: int) -> Any:
        """Return a page of the items. Raises BadRequest."""
        row = self.conversation_row(owner_id)
        return page_of(StoredItem.objects.filter(conversation=row), request.GET)

    @descriptions.list_items_schema
    async def get(self, request: Request, page: Any) -> HttpResponseBase:
        """List the items of a conversation."""
        return json_response(page)

    def post_prepare(self, request: Request, owner_id: int) -> Any:
        """Add items."""
        row = self.conversation_row(owner_id)
        body = ConversationItemsRequest.parse(request.data)
        added = rows.conversation_extend(row, body.items)
        return {
            "object": "list",
            "data": added,
            "first_id": added[0]["id"],
            "last_id": added[-1]["id"],
            "has_more": False,
        }

    @descriptions.add_items_schema
    async def post(self, request: Request, page: Any) -> HttpResponseBase:
        """Add items to a conversation."""
        return json_response(page)


class ConversationItemView(StoreView):
    """GET and DELETE /v1/conversations/{id}/items/{item_id}."""

    def get_prepare(self, request: Request, owner_id: int) -> Any:
        """Return the item. Raises StoredNotFound."""
        return self._row(owner_id).item

    @descriptions.retrieve_item_schema
    async def get(self, request: Request, item: Any) -> HttpResponseBase:
        """Return an item of a conversation."""
        return json_response(item)

    def delete_prepare(self, request: Request, owner_id: int) -> Any:
        """Delete the item; return the conversation."""
        row = self._row(owner_id)
        conversation = row.conversation
        if row.response_id is None:
            row.delete()
        else:
            row.conversation = None
            row.save(update_fields=["conversation"])
        return _conversation(conversation)

    @descriptions.delete_item_schema
    async def delete(self, request: Request, conversation: Any) -> HttpResponseBase:
        """Delete an item of a conversation."""
        return json_response(conversation)

    def _row(self, owner_id: int) -> Any:
        conversation = self.conversation_row(owner_id)
        id_ = storable(self.kwargs["item_id"])
        row = conversation.items.filter(item_id=id_).first()
        if row is None:
            raise rows.StoredNotFound("item", id_)
        return row


def _events_wanted(request: Request) -> int | None:
    """Return the number after which events are wanted; None if the response is.

    Raises BadRequest.
    """
    for name in request.GET:
        if name not in ("stream", "starting_after", "include", "include[]"):
            known = name == "include_obfuscation"
            if not known:
                raise BadRequest(
                    f"Unknown parameter: '{quote(name)}'.",
                    param=name,
                    code="unknown_parameter",
                )
    stream = request.GET.get("stream", "false")
    if stream not in ("true", "false"):
        raise BadRequest(
            "Invalid value for 'stream': it must be true or false.", param="stream"
        )
    after = request.GET.get("starting_after")
    if stream == "false":
        if after is not None:
            raise BadRequest(
                "'starting_after' is only allowed with 'stream': true.",
                param="starting_after",
            )
        return None
    if after is None:
        return -1
    if not (after.isdecimal() and len(after) < 10):
        raise BadRequest(
            "Invalid value for 'starting_after': it must be a number of an event.",
            param="starting_after",
        )
    return int(after)


def _conversation(row: StoredConversation) -> dict[str, Any]:
    return {
        "id": row.pk,
        "object": "conversation",
        "created_at": int(row.created_at.timestamp()),
        "metadata": row.metadata,
    }
