"""API keys. The secret is shown once and stored as a hash."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django_prometheus.models import ExportModelOperationsMixin

from accounts import key_secrets as keys
from accounts.models.allowed_networks import validate_networks

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import AbstractBaseUser

    class _CountedApiKey: ...

else:
    # Without types: a base of type Any would hide wrong names of attributes.
    _CountedApiKey = ExportModelOperationsMixin("api_key")


class Scope(models.TextChoices):
    """What a key may do."""

    INFERENCE = "inference", "Inference: use models, list them"
    MODELS = "models", "Models: load and unload"
    ADMIN = "admin", "Admin: keys, teams, users; detailed health and metrics"


def validate_scopes(value: Any) -> None:
    """Check that it is a non-empty list of known scopes. Raises ValidationError."""
    if not isinstance(value, list) or not value or set(value) - set(Scope.values):
        raise ValidationError(f"Choose from {', '.join(Scope.values)}.")


#: The largest share is ten thousand times the smallest.
MIN_WEIGHT, MAX_WEIGHT = 0.01, 100.0


def validate_weight(value: float) -> None:
    """Check the bounds; NaN is refused too. Raises ValidationError."""
    if not MIN_WEIGHT <= value <= MAX_WEIGHT:
        raise ValidationError(
            f"Enter a number from {MIN_WEIGHT:g} to {MAX_WEIGHT:g}; the default is 1."
        )


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def usable(self) -> ApiKeyQuerySet:
        """Return the keys that are active and not expired."""
        return self.filter(is_active=True).filter(
            models.Q(expires_at=None) | models.Q(expires_at__gt=timezone.now())
        )

    def issue(self, **fields: Any) -> tuple[ApiKey, str]:
        """Create a key; return it and its secret, which is not stored."""
        secret = keys.generate()
        fields.setdefault("lineage", secret.prefix)
        key = ApiKey(prefix=secret.prefix, key_hash=secret.hash, **fields)
        key.full_clean()
        key.save()
        return key, secret.text


class ApiKey(_CountedApiKey, models.Model):
    """An API key with its owner, scopes and limits."""

    name = models.CharField(max_length=100)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys"
    )
    # A key never outgrows its team: the team's limits hold until the key is gone.
    team = models.ForeignKey(
        "accounts.Team",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="api_keys",
        help_text="The owner is a member. Its models and limits hold for the key, too.",
    )
    prefix = models.CharField(max_length=32, unique=True, editable=False)
    key_hash = models.CharField(max_length=64, editable=False)
    scopes = models.JSONField(
        default=list,
        validators=[validate_scopes],
    )
    # A flag of its own, so that a key whose last model is deleted may use none.
    all_models = models.BooleanField(
        "all models",
        default=False,
        help_text="The key may use every model, also those that are added later.",
    )
    allowed_models = models.ManyToManyField(
        "registry.Model",
        blank=True,
        related_name="api_keys",
        help_text="Models that the key may use, if not all.",
    )
    allowed_networks = models.JSONField(
        "allowed from",
        default=list,
        blank=True,
        validators=[validate_networks],
        help_text="Networks that requests may come from. Empty: any.",
    )
    rate_limit = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Requests in a window. Empty: server.rate_limit; 0: no limit.",
    )
    weight = models.FloatField(
        default=1.0,
        validators=[validate_weight],
        help_text="Share of a busy model; 2 gets twice as much as 1.",
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    is_active = models.BooleanField("active", default=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    notes = models.TextField(blank=True, max_length=2000)
    rotated_from = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="rotated_to",
        help_text="The key whose place this one takes.",
    )
    # Nobody gets new limits by rotating a key.
    lineage = models.CharField(
        max_length=32,
        editable=False,
        default="",
        db_index=True,
        help_text="The prefix of the first of several keys that were rotated; limits "
        "count by it.",
    )
    capture_until = models.DateTimeField(
        "bodies captured until",
        null=True,
        blank=True,
        editable=False,
        help_text="Until then the bodies of its requests and answers are kept.",
    )
    capture_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "API key"
        permissions = [
            ("use_playground", "Can use models in the playground, without an API key"),
            ("capture_apikey", "Can capture the bodies of API keys' requests"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(is_active=True, revoked_at=None)
                | models.Q(is_active=False, revoked_at__isnull=False),
                name="accounts_apikey_inactive_is_revoked",
            ),
            models.CheckConstraint(
                condition=models.Q(weight__range=(MIN_WEIGHT, MAX_WEIGHT)),
                name="accounts_apikey_weight_in_bounds",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def is_expired(self) -> bool:
        """Whether ``expires_at`` has passed."""
        return self.expires_at is not None and self.expires_at <= timezone.now()

    @property
    def is_usable(self) -> bool:
        """Whether it is active and not expired."""
        return self.is_active and not self.is_expired

    @property
    def is_captured(self) -> bool:
        """Whether the bodies of its requests are captured now."""
        return self.capture_until is not None and self.capture_until > timezone.now()

    def capture(self, until: datetime | None, by: AbstractBaseUser | None) -> None:
        """Capture bodies until then, or no more, and save it; ``by`` is who did it."""
        self.capture_until = until
        self.capture_by_id = None if by is None or until is None else by.pk
        self.save(update_fields=["capture_until", "capture_by"])

    def clean(self) -> None:
        """Check that the owner is a member of the team. Raises ValidationError."""
        if self.team is None or self.owner_id is None:
            return
        if not self.team.has_member(self.owner):
            raise ValidationError(
                {"team": f"{self.owner} is not a member of the team '{self.team}'."}
            )

    def revoke(self, by: AbstractBaseUser | None = None) -> None:
        """Deactivate the key for good and save it; ``by`` is who did it."""
        if self.is_active:
            self.is_active = False
            self.revoked_at = timezone.now()
            self.revoked_by_id = None if by is None else by.pk
            self.save(update_fields=["is_active", "revoked_at", "revoked_by"])

    def has_scope(self, scope: str) -> bool:
        """Whether the key has this scope."""
        return scope in self.scopes
