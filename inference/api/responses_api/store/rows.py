"""Reads and writes stored responses, conversations and their items."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts.models import StoredConversation, StoredItem, StoredResponse
from inference.api.errors import BadRequest, RowNotFound
from inference.api.responses_api.body.items import ITEMS, ItemReference
from inference.api.responses_api.store.quota import CountedHistory, check_quota, size_of
from llm_manager.lib.quoting import quote, storable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from django.db.models import QuerySet

    from inference.api.responses_api.body.items import InputItem
    from inference.api.responses_api.body.request import ResponseTask

#: What ids of items begin with, by their types; others are messages'.
_PREFIXES = {
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "function_call": "fc",
    "function_call_output": "fco",
    "mcp_approval_request": "mcpr",
    "mcp_approval_response": "mcpa",
    "mcp_call": "mcp",
    "mcp_list_tools": "mcpl",
    "reasoning": "rs",
}


#: Items that OpenAI lists without a status.
_WITHOUT_STATUS = (
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_list_tools",
    "reasoning",
)


class StoredNotFound(RowNotFound):
    """A stored response, conversation or item that does not exist for its reader."""

    def __init__(self, what: str, id_: str, param: str | None = None) -> None:
        super().__init__(what, id_)
        self.param = param


class NothingStored(RowNotFound):
    """A request for what is stored, on a server that stores nothing."""

    def __init__(self) -> None:
        BadRequest.__init__(
            self, "This server stores no responses (api.store).", code="nothing_stored"
        )


@dataclass(frozen=True, slots=True)
class PriorItems:
    """What a request goes on from, and its own input as it is stored.

    ``before`` are items with paths to name them by; ``input`` is None for a text.
    """

    before: list[tuple[InputItem, str]] = field(default_factory=list)
    input: list[dict[str, Any]] = field(default_factory=list)
    conversation: StoredConversation | None = None


def is_open() -> bool:
    """Return whether this server stores responses."""
    return bool(settings.CONFIG.api.store)


def expiry() -> datetime:
    """Return when what is stored now expires."""
    return timezone.now() + timedelta(days=settings.CONFIG.api.retention_days)


def response_find(id_: str, owner_id: int, param: str | None = None) -> StoredResponse:
    """Return a stored response. Raises StoredNotFound."""
    found = StoredResponse.objects.filter(
        pk=_clean(id_), owner_id=owner_id, expires_at__gt=timezone.now()
    ).first()
    if found is None:
        raise StoredNotFound("stored response", id_, param)
    return found


def conversation_find(
    id_: str, owner_id: int, param: str | None = None
) -> StoredConversation:
    """Return a stored conversation. Raises StoredNotFound."""
    found = StoredConversation.objects.filter(
        pk=_clean(id_), owner_id=owner_id, expires_at__gt=timezone.now()
    ).first()
    if found is None:
        raise StoredNotFound("stored conversation", id_, param)
    return found


def context_of(
    body: ResponseTask, owner_id: int, until: StoredResponse | None = None
) -> tuple[ResponseTask, PriorItems]:
    """Return the request with its references resolved, and what it goes on from.

    ``until`` is the stored response of this request, if it is stored already. Raises
    BadRequest.
    """
    body, own = _resolved(body, owner_id)
    if body.previous_response_id is not None:
        path = "previous_response_id"
        last = response_find(body.previous_response_id, owner_id, path)
        if last.status in StoredResponse.UNFINISHED:
            raise BadRequest(
                f"'{path}' is '{quote(last.pk)}', which is still being written.",
                param=path,
                code="response_in_progress",
            )
        return body, PriorItems(_with_path(_chain(last, path), path), own)
    if body.conversation_id is not None:
        path = "conversation"
        conversation = conversation_find(body.conversation_id, owner_id, path)
        found = _items_before(until, conversation)
        CountedHistory().add(found)
        items = list(found.values_list("item", flat=True))
        return body, PriorItems(_with_path(items, path), own, conversation)
    return body, PriorItems([], own)


def _chain(last: StoredResponse, path: str) -> list[dict[str, Any]]:
    """Return the items of a response and of all that it went on from."""
    now = timezone.now()
    chain: list[list[dict[str, Any]]] = []
    row: StoredResponse | None = last
    history = CountedHistory()
    while row is not None:
        parts = [row.items.all()]
        if row.conversation is not None and row.conversation.expires_at > now:
            parts.insert(0, _items_before(row, row.conversation))
        for part in parts:
            history.add(part)
        chain.append(
            [item for part in parts for item in part.values_list("item", flat=True)]
        )
        if not row.previous_id:
            break
        row = response_find(row.previous_id, row.owner_id, path)
    return [item for items in reversed(chain) for item in items]


def _items_before(
    row: StoredResponse | None, conversation: StoredConversation
) -> QuerySet[StoredItem]:
    """Return a conversation's items that came before those of a response, if any."""
    found = conversation.items.all()
    first = None if row is None else row.items.values_list("pk", flat=True).first()
    return found if first is None else found.filter(pk__lt=first)


def _with_path(
    items: Sequence[dict[str, Any]], path: str
) -> list[tuple[InputItem, str]]:
    return [(item, path) for item in ITEMS.validate_python(list(items))]


def _resolved(
    body: ResponseTask, owner_id: int
) -> tuple[ResponseTask, list[dict[str, Any]]]:
    """Return the request without references, and its items as they are stored."""
    if isinstance(body.input, str):
        text = {"type": "input_text", "text": body.input}
        return body, [with_id({"type": "message", "role": "user", "content": [text]})]
    wanted = [
        storable(each.id) for each in body.input if isinstance(each, ItemReference)
    ]
    found: dict[str, Any] = {}
    if wanted:
        now = timezone.now()
        rows = StoredItem.objects.filter(
            Q(response__expires_at__gt=now) | Q(conversation__expires_at__gt=now),
            item_id__in=wanted,
            owner_id=owner_id,
        )
        found = dict(rows.values_list("item_id", "item"))
    shown: list[InputItem] = []
    for item in body.input:
        referred = (
            found.get(storable(item.id)) if isinstance(item, ItemReference) else None
        )
        shown += [item] if referred is None else ITEMS.validate_python([referred])
    return body.model_copy(update={"input": shown}), as_stored(shown)


def as_stored(items: Iterable[InputItem]) -> list[dict[str, Any]]:
    """Return items as they are stored, each with an id."""
    return [
        with_id(_shown(each.model_dump(exclude_none=True, by_alias=True)))
        for each in items
    ]


def _shown(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item as OpenAI lists it: with parts, and a status."""
    if item["type"] == "message":
        if isinstance(item["content"], str):
            kind = "output_text" if item["role"] == "assistant" else "input_text"
            part: dict[str, Any] = {"type": kind, "text": item["content"]}
            item["content"] = [part]
        for part in item["content"]:
            if part["type"] == "output_text":
                part.setdefault("annotations", [])
                part.setdefault("logprobs", [])
    if item["type"] not in _WITHOUT_STATUS:
        item.setdefault("status", "completed")
    return item


def with_id(item: dict[str, Any]) -> dict[str, Any]:
    """Return the item with an id, a new one if it has none."""
    if item.get("id"):
        return item
    prefix = _PREFIXES.get(item["type"], "msg")
    return {"id": f"{prefix}_{uuid.uuid4().hex}", "status": "completed", **item}


@transaction.atomic
def response_add(
    response: dict[str, Any],
    context: PriorItems,
    owner_id: int,
    *,
    previous_id: str | None,
    **fields: Any,
) -> StoredResponse:
    """Store a response with its items; without a conversation that is gone."""
    conversation = context.conversation
    row = StoredResponse.objects.create(
        pk=response["id"],
        owner_id=owner_id,
        expires_at=expiry(),
        status=response["status"],
        response=storable(response),
        previous_id=previous_id or "",
        conversation=None if conversation is None else _locked(conversation.pk),
        size=sum(
            map(size_of, (response, fields.get("body", ""), fields.get("mcp", {})))
        ),
        **{name: storable(value) for name, value in fields.items()},
    )
    items_add(row, context.input, is_output=False)
    items_add(row, response["output"], is_output=True)
    return row


def response_finish(id_: str, response: dict[str, Any]) -> bool:
    """Note the end of a response in the background; False if it was ended before."""
    with transaction.atomic():
        rows = StoredResponse.objects.filter(pk=id_)
        # A conversation first, as who deletes it does; nobody waits for each other so.
        for conversation_id in rows.values_list("conversation_id", flat=True):
            _locked(conversation_id)
        row = (
            rows.select_for_update(no_key=True)
            .filter(status__in=StoredResponse.UNFINISHED)
            .first()
        )
        if row is None:
            return False
        row.size += size_of(response) - size_of(row.response)
        row.status, row.response = response["status"], storable(response)
        row.size -= size_of(row.mcp)
        row.mcp = {}
        row.save(update_fields=["status", "response", "mcp", "size"])
        items_add(row, response["output"], is_output=True)
    return True


def _locked(conversation_id: str | None) -> StoredConversation | None:
    """Return a conversation that nobody deletes until the transaction ends."""
    rows = StoredConversation.objects.select_for_update(no_key=True)
    return rows.filter(pk=conversation_id).first()


def items_add(
    row: StoredResponse, items: Iterable[dict[str, Any]], *, is_output: bool
) -> None:
    """Add items to a response, and to its conversation."""
    StoredItem.objects.bulk_create(
        StoredItem(
            item_id=item["id"],
            owner_id=row.owner_id,
            response=row,
            conversation_id=row.conversation_id,
            is_output=is_output,
            item=item,
            size=size_of(item),
        )
        for item in map(storable, items)
    )


@transaction.atomic
def conversation_add(
    owner_id: int, metadata: dict[str, str], items: Iterable[InputItem]
) -> StoredConversation:
    """Make a conversation of items. Raises StoreFull."""
    added: list[dict[str, Any]] = storable(as_stored(items))
    check_quota(owner_id, size_of(added), "items")
    row = StoredConversation.objects.create(
        pk=f"conv_{uuid.uuid4().hex}",
        owner_id=owner_id,
        expires_at=expiry(),
        metadata=storable(metadata),
    )
    _extend(row, added)
    return row


@transaction.atomic
def conversation_extend(
    row: StoredConversation, items: Iterable[InputItem]
) -> list[dict[str, Any]]:
    """Add items to a conversation; return them as they are stored.

    Raises StoredNotFound if it is gone, and StoreFull.
    """
    added: list[dict[str, Any]] = storable(as_stored(items))
    check_quota(row.owner_id, size_of(added), "items")
    if _locked(row.pk) is None:
        raise StoredNotFound("stored conversation", row.pk)
    _extend(row, added)
    return added


def _extend(row: StoredConversation, items: Iterable[dict[str, Any]]) -> None:
    StoredItem.objects.bulk_create(
        StoredItem(
            item_id=item["id"],
            owner_id=row.owner_id,
            conversation=row,
            item=item,
            size=size_of(item),
        )
        for item in items
    )


@transaction.atomic
def response_delete(row: StoredResponse) -> None:
    """Delete a response; a conversation keeps its items."""
    row.items.filter(conversation__isnull=False).update(response=None)
    row.delete()


@transaction.atomic
def conversation_delete(row: StoredConversation) -> None:
    """Delete a conversation; responses keep their items."""
    _locked(row.pk)
    row.items.filter(response__isnull=False).update(conversation=None)
    row.delete()


def _clean(id_: str) -> str:
    return str(storable(id_))[:64]
