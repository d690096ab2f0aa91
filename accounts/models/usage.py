"""Usage: one row for each request, and the sums of each day.

The rows name keys, users, teams and models without foreign keys: they outlive them.
An id of 0 is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

from accounts.record_id import first_id_at

if TYPE_CHECKING:
    from datetime import datetime

#: An id that names nothing: no key, no team, no model of that name.
NONE_ID = 0


class _Subject(models.Model):
    """Whose request it was, and the model that served it, with their names then."""

    key_id = models.BigIntegerField(default=NONE_ID)
    key_prefix = models.CharField(max_length=32, blank=True)
    key_name = models.CharField("key", max_length=100, blank=True)
    owner_id = models.BigIntegerField(default=NONE_ID)
    owner_name = models.CharField("owner", max_length=150, blank=True)
    team_id = models.BigIntegerField(default=NONE_ID)
    team_name = models.CharField("team", max_length=150, blank=True)
    model_id = models.BigIntegerField(default=NONE_ID)
    model_name = models.CharField("model", max_length=255, blank=True)

    class Meta:
        abstract = True


class _Counts(models.Model):
    """What the engine counted, and the price of it."""

    prompt_tokens = models.BigIntegerField(default=0)
    cached_tokens = models.BigIntegerField(
        default=0, help_text="Those of the prompt that were not computed again."
    )
    audio_tokens = models.BigIntegerField(
        default=0, db_default=0, help_text="Those of the prompt that are sounds."
    )
    completion_tokens = models.BigIntegerField(default=0)
    reasoning_tokens = models.BigIntegerField(
        default=0, help_text="Those of the completion that are reasoning."
    )
    drafted_tokens = models.BigIntegerField(
        default=0, help_text="Tokens that were proposed, right or wrong."
    )
    cost = models.BigIntegerField(
        default=0, help_text="In billionths of the currency: sums of them are exact."
    )

    class Meta:
        abstract = True


class UsageRecordQuerySet(models.QuerySet["UsageRecord"]):
    def since(self, time: datetime) -> UsageRecordQuerySet:
        """Return the requests that came at this time or later, by the primary key."""
        return self.filter(pk__gte=first_id_at(time.timestamp()))

    def before(self, time: datetime) -> UsageRecordQuerySet:
        """Return the requests that came before this time, by the primary key."""
        return self.filter(pk__lt=first_id_at(time.timestamp()))


class UsageRecord(_Subject, _Counts):
    """One request, from its arrival to its end.

    Its id is a UUID of version 7 made from ``time``: the order of ids is the order of
    arrival, so the primary key is the index for times, too.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    request_id = models.CharField(
        max_length=128, help_text="The x-request-id of the answer."
    )
    time = models.DateTimeField(help_text="When the request arrived.")
    model_asked = models.CharField(
        max_length=255, blank=True, help_text="The name in the request."
    )
    endpoint = models.CharField(max_length=32)
    status = models.PositiveSmallIntegerField(
        help_text="The HTTP status of the answer or of the error that ended its "
        "stream; 499: the client left."
    )
    error_code = models.CharField(max_length=64, blank=True)
    limit_name = models.CharField(
        max_length=64, blank=True, help_text="The limit that refused it."
    )
    finish_reason = models.CharField(max_length=64, blank=True)
    is_stream = models.BooleanField("stream", default=False)
    completed = models.BooleanField(
        default=True,
        help_text="No: it was interrupted, and its counts are those of what was "
        "received until then.",
    )
    failed = models.BooleanField(
        default=False, help_text="Whether it was refused, failed or interrupted."
    )
    replayed_tokens = models.BigIntegerField(
        default=0,
        help_text="Tokens of its answer that an earlier request with the same "
        "Idempotency-Key counts.",
    )
    queue_ms = models.PositiveIntegerField(
        "queue (ms)",
        null=True,
        help_text="From its arrival until its prompt began.",
    )
    first_token_ms = models.PositiveIntegerField(
        "first token (ms)", null=True, help_text="From its arrival to its first token."
    )
    duration_ms = models.PositiveIntegerField(
        "duration (ms)", null=True, help_text="From its arrival to its end, if known."
    )
    tokens_per_second = models.FloatField(
        null=True, help_text="Of the completion, after its first token."
    )
    node = models.CharField(max_length=255, blank=True)
    replica = models.PositiveIntegerField(null=True)
    client_address = models.CharField(max_length=45, blank=True)
    is_estimated = models.BooleanField(
        "estimated",
        default=False,
        db_default=False,
        help_text="Whether its tokens are an estimate: the upstream counted none.",
    )
    route = models.CharField(
        max_length=255,
        blank=True,
        default="",
        db_default="",
        help_text="The route that chose its model.",
    )
    fell_back_from = models.TextField(
        blank=True,
        default="",
        db_default="",
        help_text="The route's models that failed before, in their order.",
    )
    left_out = models.TextField(
        blank=True, help_text="Hints of the request that had no effect."
    )
    metadata = models.TextField(
        blank=True, help_text="The client's own labels of the request, as JSON."
    )

    objects = UsageRecordQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = "request"
        # One for each filter of the pages, in the order in which they list.
        indexes = [
            models.Index(fields=["key_id", "id"], name="usage_key"),
            models.Index(fields=["owner_id", "id"], name="usage_owner"),
            models.Index(fields=["team_id", "id"], name="usage_team"),
            models.Index(fields=["model_id", "id"], name="usage_model"),
            models.Index(fields=["endpoint", "id"], name="usage_endpoint"),
            models.Index(fields=["node", "id"], name="usage_node"),
            models.Index(fields=["request_id"], name="usage_request_id"),
            # They are few: a list of them must not look at all others.
            models.Index(
                fields=["id"], name="usage_failed", condition=models.Q(failed=True)
            ),
        ]

    def __str__(self) -> str:
        return self.request_id


class UsageDay(_Subject, _Counts):
    """The sums of one day for a key and a model, in the zone ``usage.time_zone``.

    The names are those of the first request of the day.
    """

    day = models.DateField()
    requests = models.BigIntegerField(default=0)
    failed = models.BigIntegerField(
        default=0, help_text="Requests that were refused, failed or interrupted."
    )

    class Meta:
        ordering = ["-day"]
        verbose_name = "day of usage"
        verbose_name_plural = "days of usage"
        constraints = [
            models.UniqueConstraint(
                fields=["day", "key_id", "owner_id", "team_id", "model_id"],
                name="usage_day_subject",
            )
        ]
        indexes = [
            models.Index(fields=["key_id", "day"], name="usage_day_key"),
            models.Index(fields=["owner_id", "day"], name="usage_day_owner"),
            models.Index(fields=["team_id", "day"], name="usage_day_team"),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.key_name} {self.model_name}"
