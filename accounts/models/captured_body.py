"""Bodies of requests and answers, of keys whose owner knows that they are captured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Count, Max
from django.utils import timezone

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser


class CapturedBodyQuerySet(models.QuerySet["CapturedBody"]):
    def kept(self) -> CapturedBodyQuerySet:
        """Return the bodies that have not expired."""
        return self.filter(expires_at__gt=timezone.now())

    def kept_of(self, owner: AbstractBaseUser) -> Any:
        """Return of each ``key`` of an owner the ``count``, and ``until`` when."""
        return (
            self.kept()
            .filter(key__owner_id=owner.pk)
            .values("key")
            .annotate(count=Count("pk"), until=Max("expires_at"))
            .order_by()
        )


class CapturedBody(models.Model):
    """What a request said and what was answered, redacted, until it expires.

    Its id is that of the request's row of usage.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    key = models.ForeignKey(
        "accounts.ApiKey", on_delete=models.CASCADE, related_name="captured"
    )
    request = models.TextField()
    answer = models.TextField(blank=True)
    is_request_cut = models.BooleanField(default=False)
    is_answer_cut = models.BooleanField(default=False)
    captured_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)

    objects = CapturedBodyQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
        verbose_name_plural = "captured bodies"

    def __str__(self) -> str:
        return str(self.pk)
