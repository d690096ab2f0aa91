"""The objects of stored conversations, for /openapi.json."""

from __future__ import annotations

from typing import Any, Literal, TypedDict


class ItemList(TypedDict):
    """A page of items."""

    object: Literal["list"]
    data: list[dict[str, Any]]
    first_id: str
    last_id: str
    has_more: bool


class StoredConversationObject(TypedDict):
    """A conversation that is kept."""

    id: str
    object: Literal["conversation"]
    created_at: int
    metadata: dict[str, str]


class DeletedObject(TypedDict):
    """What was deleted."""

    id: str
    object: str
    deleted: bool


ANSWERS: dict[str, type] = {
    "Deleted": DeletedObject,
    "ItemList": ItemList,
    "StoredConversation": StoredConversationObject,
}
