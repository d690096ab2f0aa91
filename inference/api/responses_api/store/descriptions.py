"""The views' descriptions in /openapi.json."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema

from inference.api.openapi.operations import JSON, Description, ref, refusals

_READS = (400, 401, 403, 404, 405, 429, 500, 503)
_WRITES = (*_READS, 413, 415)
_IDS = {
    "response_id": "Id of a stored response.",
    "conversation_id": "Id of a conversation.",
    "item_id": "Id of an item.",
}
_QUERIES = {
    "limit": "How many items, from 1 to 100. Default: 20.",
    "order": "`asc` or `desc`. Default: `desc`.",
    "after": "The id of the item before the first one.",
    "stream": "`true` streams the events of a response in the background.",
    "starting_after": "The `sequence_number` of the last event that is known.",
}
_PAGE = ("limit", "order", "after")


def _described(
    operation: str,
    summary: str,
    answer: str,
    *,
    tag: str = "Conversations",
    ids: tuple[str, ...] = ("conversation_id",),
    query: tuple[str, ...] = (),
    request: str = "",
) -> Description:
    parameters = [
        OpenApiParameter(
            name, OpenApiTypes.STR, OpenApiParameter.PATH, description=_IDS[name]
        )
        for name in ids
    ] + [
        OpenApiParameter(
            name, OpenApiTypes.STR, OpenApiParameter.QUERY, description=_QUERIES[name]
        )
        for name in query
    ]
    shown: Any = ref(answer) if answer else OpenApiTypes.OBJECT
    return extend_schema(
        operation_id=operation,
        summary=summary,
        tags=[tag],
        parameters=parameters,
        request={JSON: ref(request)} if request else None,
        responses={
            200: OpenApiResponse(shown, description="The answer."),
            **refusals(*(_WRITES if request else _READS)),
        },
    )


_OF_RESPONSE: dict[str, Any] = {"tag": "Responses", "ids": ("response_id",)}
retrieve_schema = _described(
    "retrieveResponse",
    "Return a stored response",
    "Response",
    query=("stream", "starting_after"),
    **_OF_RESPONSE,
)
delete_schema = _described(
    "deleteResponse", "Delete a stored response", "Deleted", **_OF_RESPONSE
)
cancel_schema = _described(
    "cancelResponse", "Cancel a response in the background", "Response", **_OF_RESPONSE
)
input_items_schema = _described(
    "listInputItems",
    "List the input of a stored response",
    "ItemList",
    query=_PAGE,
    **_OF_RESPONSE,
)
create_conversation_schema = _described(
    "createConversation",
    "Make a conversation",
    "StoredConversation",
    ids=(),
    request="ConversationRequest",
)
retrieve_conversation_schema = _described(
    "retrieveConversation", "Return a conversation", "StoredConversation"
)
change_conversation_schema = _described(
    "updateConversation",
    "Change a conversation's labels",
    "StoredConversation",
    request="ConversationChangeRequest",
)
delete_conversation_schema = _described(
    "deleteConversation", "Delete a conversation", "Deleted"
)
list_items_schema = _described(
    "listConversationItems", "List a conversation's items", "ItemList", query=_PAGE
)
add_items_schema = _described(
    "createConversationItems",
    "Add items to a conversation",
    "ItemList",
    request="ConversationItemsRequest",
)
_OF_ITEM = ("conversation_id", "item_id")
retrieve_item_schema = _described(
    "retrieveConversationItem", "Return an item", "", ids=_OF_ITEM
)
delete_item_schema = _described(
    "deleteConversationItem", "Delete an item", "StoredConversation", ids=_OF_ITEM
)
