"""Points of charts: the sums of an hour or of a day, and how fast its answers were."""

from __future__ import annotations

from django.db import models

from accounts.histogram import HISTOGRAMS
from accounts.models.usage import NONE_ID


class PointStep(models.IntegerChoices):
    """How long a point is, in hours."""

    HOUR = 1, "hour"
    DAY = 24, "day"


class PointSubject(models.IntegerChoices):
    """What a point is of."""

    ALL = 0, "all requests"
    MODEL = 1, "a model"
    KEY = 2, "a key"
    TEAM = 3, "a team"


class UsagePoint(models.Model):
    """The sums of an hour or a day for all requests, one model, one key or one team.

    Hours and days are those of the zone ``usage.time_zone``; ``start`` is the moment
    at which one begins. The columns ``first_token_…`` and ``speed_…`` are histograms:
    how many answers had their first token in such a time, in milliseconds, and came at
    such a rate, in tokens a second.
    """

    step = models.PositiveSmallIntegerField(choices=PointStep.choices)
    subject = models.PositiveSmallIntegerField(choices=PointSubject.choices)
    start = models.DateTimeField()
    subject_id = models.BigIntegerField(default=NONE_ID)
    name = models.CharField(
        max_length=255, blank=True, help_text="Of its first request."
    )
    requests = models.BigIntegerField(default=0)
    failed = models.BigIntegerField(default=0)
    prompt_tokens = models.BigIntegerField(default=0)
    completion_tokens = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["-start"]
        verbose_name = "point of a chart"
        verbose_name_plural = "points of charts"
        constraints = [
            # In the order in which charts read them.
            models.UniqueConstraint(
                fields=["step", "subject", "start", "subject_id"],
                name="usage_point_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H:%M} {self.name}"


for _histogram in HISTOGRAMS:
    for _column in _histogram.columns:
        UsagePoint.add_to_class(_column, models.PositiveIntegerField(default=0))
