"""Responses and conversations that are kept for their owners, and their items."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import timezone


class _Kept(models.Model):
    """A row that its owner alone may read, until it expires.

    ``owner_id`` is a user's; 0 is everybody without a key.
    """

    id = models.CharField(max_length=64, primary_key=True)
    owner_id = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.id


class StoredConversation(_Kept):
    """A conversation that responses add to."""

    metadata = models.JSONField(default=dict)

    class Meta(_Kept.Meta):
        abstract = False


class StoredResponse(_Kept):
    """A response, and what it takes to write it in the background.

    ``previous_id`` is the response that it goes on from. ``body`` is the request of one
    that is written in the background; until ``claimed_until`` a web process does so.
    ``size`` is in bytes, with its events and without its items.
    """

    QUEUED: ClassVar[str] = "queued"
    IN_PROGRESS: ClassVar[str] = "in_progress"
    CANCELLED: ClassVar[str] = "cancelled"
    #: The states of a response that is still being written.
    UNFINISHED: ClassVar[tuple[str, ...]] = (QUEUED, IN_PROGRESS)

    status = models.CharField(max_length=16)
    response = models.JSONField(default=dict)
    previous_id = models.CharField(max_length=64, blank=True)
    conversation = models.ForeignKey(
        StoredConversation, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    is_background = models.BooleanField(default=False)
    body = models.JSONField(default=dict)
    #: Of one that is written in the background: the tools of its MCP servers, which of
    #: these had secrets, and the calls that were made.
    mcp = models.JSONField(
        default=dict, db_default=models.Value({}, models.JSONField())
    )
    key_id = models.BigIntegerField(default=0)
    client_address = models.CharField(max_length=45, blank=True)
    claimed_by = models.CharField(max_length=64, blank=True)
    claimed_until = models.DateTimeField(null=True)
    size = models.BigIntegerField(default=0)

    class Meta(_Kept.Meta):
        abstract = False
        indexes = [
            models.Index(fields=["owner_id", "size"], name="response_sizes"),
            # They are few, and web processes look for them all the time.
            models.Index(
                fields=["claimed_until"],
                name="response_unfinished",
                condition=models.Q(
                    is_background=True, status__in=["queued", "in_progress"]
                ),
            ),
        ]


class StoredItem(models.Model):
    """An item of the input or the output of a response, or of a conversation.

    ``size`` is that of the item, in bytes.
    """

    item_id = models.CharField(max_length=256, db_index=True)
    owner_id = models.BigIntegerField(default=0)
    response = models.ForeignKey(
        StoredResponse, null=True, on_delete=models.CASCADE, related_name="items"
    )
    conversation = models.ForeignKey(
        StoredConversation, null=True, on_delete=models.CASCADE, related_name="items"
    )
    is_output = models.BooleanField(default=False)
    item = models.JSONField()
    size = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["pk"]
        indexes = [models.Index(fields=["owner_id", "size"], name="item_sizes")]

    def __str__(self) -> str:
        return self.item_id


class StoredEvents(models.Model):
    """Events of a response that is written in the background, as they were sent.

    ``first`` and ``last`` are their sequence numbers.
    """

    response = models.ForeignKey(
        StoredResponse, on_delete=models.CASCADE, related_name="events"
    )
    first = models.PositiveIntegerField()
    last = models.PositiveIntegerField()
    text = models.TextField()

    class Meta:
        ordering = ["first"]
        constraints = [
            models.UniqueConstraint(
                fields=["response", "first"], name="stored_events_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.response_id} {self.first}-{self.last}"
