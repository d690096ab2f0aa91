"""Invitations: links that make a user, or bring one into teams, once."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def open(self) -> InvitationQuerySet:
        """Return those that are neither used nor expired."""
        return self.filter(used_at=None, expires_at__gt=timezone.now())


class Invitation(models.Model):
    """A link that is good for one person. Its secret is stored as a hash."""

    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    note = models.CharField(
        max_length=200, blank=True, help_text="Whom it is for; only you see it."
    )
    teams = models.ManyToManyField(
        "accounts.Team",
        blank=True,
        related_name="+",
        help_text="Teams that the person joins.",
    )
    views_admin = models.BooleanField(
        "may view the admin",
        default=False,
        help_text="The person sees all pages, and changes nothing. Captured bodies "
        "are not among them.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True, editable=False)
    used_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
    )

    objects = InvitationQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"Invitation of {self.created_at:%Y-%m-%d}" + (
            f" for {self.note}" if self.note else ""
        )

    @property
    def is_open(self) -> bool:
        """Whether it is neither used nor expired."""
        return self.used_at is None and self.expires_at > timezone.now()
