"""Notices: what administrators have to know, and where they were sent."""

from __future__ import annotations

from django.db import models


class NoticeKind(models.TextChoices):
    """What a notice is about."""

    BUDGET = "budget", "Budget"
    LOGIN = "login", "Login"


class Notice(models.Model):
    """Something that administrators have to know, once.

    ``slot`` says what it is about, so that it is there once. The rest is about the
    webhook: ``next_attempt_at`` is empty when it was sent, given up, or is not to be
    sent.
    """

    slot = models.CharField(max_length=200, unique=True, editable=False)
    kind = models.CharField(max_length=16, choices=NoticeKind.choices)
    text = models.TextField()
    details = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    read_at = models.DateTimeField(null=True, blank=True, editable=False)
    attempts = models.PositiveSmallIntegerField(default=0, editable=False)
    next_attempt_at = models.DateTimeField(
        null=True, blank=True, editable=False, db_index=True
    )
    sent_at = models.DateTimeField(null=True, blank=True, editable=False)
    error = models.TextField("last error", blank=True, editable=False)

    class Meta:
        ordering = ["-created_at", "-pk"]

    def __str__(self) -> str:
        return self.text
