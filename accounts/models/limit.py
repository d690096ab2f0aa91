"""Limits: how much a key, a user or a team may use, and of which model."""

from __future__ import annotations

from decimal import Decimal

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models.functions import Coalesce

from registry.prices import BILLION


class LimitKind(models.TextChoices):
    """What is limited."""

    REQUESTS_MINUTE = "requests_minute", "requests a minute"
    TOKENS_MINUTE = "tokens_minute", "tokens a minute"
    PARALLEL = "parallel", "parallel requests"
    TOKENS_DAY = "tokens_day", "tokens a day"
    TOKENS_MONTH = "tokens_month", "tokens a month"
    MONEY_MONTH = "money_month", "money a month"

    @property
    def is_budget(self) -> bool:
        """Whether it is of a day or a month of the calendar."""
        return self in BUDGETS


BUDGETS = (LimitKind.TOKENS_DAY, LimitKind.TOKENS_MONTH, LimitKind.MONEY_MONTH)

_SHARED = (
    "Shared by all its keys. Otherwise each of them may use this much, unless it has a "
    "limit of its own."
)


class LimitQuerySet(models.QuerySet["Limit"]):
    def holding_for(
        self, *, lineage: str, owner: int, team: int | None
    ) -> LimitQuerySet:
        """Return those of a key, its owner and its team, and the defaults.

        Keys of one lineage have the same limits, so rotating one gives no new ones.
        """
        found = models.Q(key__lineage=lineage) | models.Q(user=owner)
        found |= models.Q(key=None, user=None, team=None)
        if team is not None:
            found |= models.Q(team=team)
        return self.filter(found).select_related("key", "user", "team__group", "model")


class Limit(models.Model):
    """A limit of a key, a user or a team; of none of them, it is every key's default.

    A user's and a team's hold for their keys: for all together, or for each.
    """

    key = models.ForeignKey(
        "accounts.ApiKey",
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="limits",
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="limits",
    )
    team = models.ForeignKey(
        "accounts.Team",
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="limits",
    )
    kind = models.CharField(max_length=16, choices=LimitKind.choices)
    amount = models.DecimalField(
        max_digits=15,
        decimal_places=2,
        validators=[MinValueValidator(Decimal("0.01"))],
        help_text="Requests, tokens, or money in the currency of limits.currency.",
    )
    model = models.ForeignKey(
        "registry.Model",
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="limits",
        help_text="Empty: all models together.",
    )
    is_shared = models.BooleanField("shared", default=True, help_text=_SHARED)

    objects = LimitQuerySet.as_manager()

    class Meta:
        ordering = ["kind", "pk"]
        constraints = [
            models.CheckConstraint(
                # At most one of the three: two of them are always empty.
                condition=models.Q(key=None, user=None)
                | models.Q(key=None, team=None)
                | models.Q(user=None, team=None),
                name="accounts_limit_of_one",
            ),
            models.UniqueConstraint(
                models.F("kind"),
                models.F("is_shared"),
                *(
                    Coalesce(name, 0, output_field=models.BigIntegerField())
                    for name in ("key", "user", "team", "model")
                ),
                name="accounts_limit_once",
                violation_error_message="There is a limit of this already.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount_text} {self.get_kind_display()}{self.where}"

    @property
    def where(self) -> str:
        """The model that it is of, as in a sentence."""
        return "" if self.model is None else f" of the model '{self.model}'"

    @property
    def amount_text(self) -> str:
        """The amount with its currency, if it is money."""
        if self.kind == LimitKind.MONEY_MONTH:
            return f"{self.amount:,.2f} {settings.CONFIG.limits.currency}"
        return f"{int(self.amount):,}"

    @property
    def units(self) -> int:
        """The amount as it is counted: money is counted in billionths."""
        scale = BILLION if self.kind == LimitKind.MONEY_MONTH else 1
        return int(self.amount * scale)

    @property
    def is_for_each_key(self) -> bool:
        """Whether each key may use this much, not all of them together."""
        if self.user_id or self.team_id:
            return not self.is_shared
        return not self.key_id

    def clean(self) -> None:
        """Check that the amount can be counted. Raises ValidationError."""
        if not (self.amount and self.kind):
            return  # The missing field has its own error.
        if self.kind != LimitKind.MONEY_MONTH and self.amount != int(self.amount):
            raise ValidationError({"amount": "Enter a whole number."})
        if self.kind != LimitKind.REQUESTS_MINUTE or self.model_id is not None:
            return
        if self.key_id is not None:
            raise ValidationError(
                {"kind": "Use the key's own field 'rate limit', or name a model."}
            )
        if self.user_id is None and self.team_id is None:
            raise ValidationError(
                {"kind": "The default is server.rate_limit in the configuration."}
            )
