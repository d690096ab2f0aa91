"""The form of a user's own key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSingleDateWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from accounts.expiry import end_of
from accounts.forms import NetworksField, OnceForm
from accounts.models import Team
from registry.models import Model

if TYPE_CHECKING:
    from datetime import date, datetime

    from django.contrib.auth.models import User

    class TeamChoiceField(forms.ModelChoiceField[Team]): ...
else:
    TeamChoiceField = forms.ModelChoiceField


class OwnKeyForm(OnceForm, forms.Form):
    """What a user may choose of a key: never more than the team allows."""

    name = forms.CharField(max_length=100, widget=UnfoldAdminTextInputWidget)
    team = TeamChoiceField(
        queryset=Team.objects.none(),
        empty_label=None,
        widget=UnfoldAdminSelectWidget,
        help_text="Its models and limits hold for the key.",
    )
    all_models = forms.BooleanField(
        label="All models of the team",
        required=False,
        initial=True,
        widget=UnfoldBooleanWidget,
    )
    models = forms.ModelMultipleChoiceField(
        label="or only these",
        queryset=Model.objects.none(),
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    expires_on = forms.DateField(
        label="Last day",
        required=False,
        widget=UnfoldAdminSingleDateWidget(attrs={"type": "date"}),
        help_text="The key expires at the end of that day, in UTC. Empty: never.",
    )
    allowed_networks = NetworksField()
    notes = forms.CharField(
        required=False, max_length=2000, widget=UnfoldAdminTextareaWidget
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        teams = Team.objects.of_member(user).select_related("group")
        self.fields["team"].queryset = teams  # type: ignore[attr-defined]
        if len(teams) == 1:
            self.initial["team"] = teams[0]
        served = Model.objects.servable()
        if not any(team.all_models for team in teams):
            served = served.filter(teams__in=teams).distinct()
        self.fields["models"].queryset = served  # type: ignore[attr-defined]

    def clean_expires_on(self) -> datetime | None:
        """Return the end of the day. Raises ValidationError for one in the past."""
        day: date | None = self.cleaned_data["expires_on"]
        if day is None:
            return None
        end = end_of(day)
        if end <= timezone.now():
            raise ValidationError("This day is in the past; choose a later one.")
        return end

    def clean(self) -> dict[str, Any] | None:
        """Check the models against the team. Raises ValidationError."""
        values = self.cleaned_data
        team, models = values.get("team"), values.get("models")
        if values.get("all_models") and models:
            self.add_error("models", "Choose these models or all, not both.")
        elif not values.get("all_models") and not models:
            self.add_error("models", "Choose models, or all of the team.")
        elif team and models and not team.all_models:
            beyond = models.exclude(pk__in=team.allowed_models.all())
            names = ", ".join(model.name for model in beyond)
            if names:
                self.add_error("models", f"The team may not use {names}.")
        return super().clean()
