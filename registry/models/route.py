"""Routes: public names that stand for one of several models."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models

from registry.models.kinds import GENERATIVE, Kind
from registry.models.model import Model
from registry.models.named_model import NamedModel

#: What a route's target may be.
TARGET_KINDS = (*GENERATIVE, Kind.EMBEDDING, Kind.RERANKER, Kind.UPSTREAM)
#: Members that a route may not set: they are who asks, what is asked, and how the
#: answer comes.
_OF_THE_CLIENT = frozenset(
    {
        *("model", "messages", "prompt", "input", "query", "documents", "system"),
        *("stream", "stream_options"),
    }
)


class Route(NamedModel):
    """A name whose requests go to one of its targets, by their weights.

    ``falls_back``: where a target fails before its first token, or its queue is full,
    the next one answers, and the answer says so.
    """

    own_kind: ClassVar[Kind] = Kind.ROUTE

    falls_back = models.BooleanField(
        default=False,
        help_text="Where a target fails, or its queue is full, before the first token, "
        "the next one answers. The answer's headers and the usage say so.",
    )
    default_parameters = models.JSONField(
        default=dict,
        blank=True,
        help_text='Members of requests that do not have them: {"temperature": 0.2}',
    )
    forced_parameters = models.JSONField(
        default=dict,
        blank=True,
        help_text="Members of every request, whatever it says.",
    )

    def clean(self) -> None:
        """Check the parameters. Raises ValidationError."""
        super().clean()
        for name in ("default_parameters", "forced_parameters"):
            fault = _parameters_fault(getattr(self, name))
            if fault:
                raise ValidationError({name: fault})


def _parameters_fault(parameters: Any) -> str:
    if not isinstance(parameters, dict):
        return "Give an object of members."
    own = sorted(_OF_THE_CLIENT.intersection(parameters))
    return f"'{own[0]}' is the client's own." if own else ""


class RouteTarget(models.Model):
    """A model of a route. With the weight 0 it answers only where others fail."""

    route = models.ForeignKey(Route, on_delete=models.CASCADE, related_name="targets")
    model = models.ForeignKey(
        Model,
        on_delete=models.CASCADE,
        related_name="routed_by",
        limit_choices_to={"kind__in": TARGET_KINDS},
    )
    weight = models.PositiveIntegerField(
        default=1,
        validators=[MaxValueValidator(1_000_000)],
        help_text="Its share of the requests beside the other weights: 95 and 5 are a "
        "canary of 5 %. With 0 it only answers where others fail.",
    )

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["route", "model"], name="registry_target_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.model} ({self.weight})"

    def clean(self) -> None:
        """Check the model. Raises ValidationError."""
        if self.model_id and self.model.kind not in TARGET_KINDS:
            raise ValidationError({"model": "A target is a model that answers."})
