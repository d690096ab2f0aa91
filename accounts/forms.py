"""The forms for API keys."""

from __future__ import annotations

import secrets
from datetime import time
from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelect2MultipleWidget,
    UnfoldAdminSplitDateTimeWidget,
)

from accounts.models import ApiKey, Scope
from registry.models import Model

if TYPE_CHECKING:
    from datetime import datetime

    from django.http import HttpRequest, QueryDict

    ModelForm = forms.ModelForm[ApiKey]
else:
    ModelForm = forms.ModelForm

_SESSION_KEY = "api_key_forms"
#: Open forms of one session; above that, the oldest is dropped.
_OPEN_FORMS = 20
_END_OF_DAY = time(23, 59)


def _models_in_force(key: ApiKey) -> str:
    return ", ".join(model.name for model in key.allowed_models.all()) or "All models"


def _rate_limit_in_force(key: ApiKey) -> str:
    server = settings.CONFIG.server
    limit = server.rate_limit if key.rate_limit is None else key.rate_limit
    text = f"{limit} requests in {server.rate_limit_window} s" if limit else "No limit"
    return f"Default: {text}" if key.rate_limit is None else text


def _expiry_in_force(key: ApiKey) -> str:
    return f"{key.expires_at:%Y-%m-%d %H:%M} UTC" if key.expires_at else "Never"


#: The limits of a key in words, for pages on which they cannot be edited.
LIMITS_IN_FORCE = {
    "allowed_models": _models_in_force,
    "rate_limit": _rate_limit_in_force,
    "expires_at": _expiry_in_force,
}


class ExpiryField(forms.SplitDateTimeField):
    """A date and a time in UTC; a date alone means the last minute of that day."""

    def compress(self, data_list: Any) -> datetime | None:
        """Return the moment, or None if both are empty. Raises ValidationError."""
        if data_list and data_list[0] and data_list[1] is None:
            data_list = [data_list[0], _END_OF_DAY]
        moment: datetime | None = super().compress(data_list)
        return moment


class ApiKeyForm(ModelForm):
    """The fields of a key that an administrator may edit."""

    expires_at = ExpiryField(
        label="Expires at",
        required=False,
        widget=UnfoldAdminSplitDateTimeWidget,
        help_text="UTC. Without a time: at the end of that day. Empty: never.",
        error_messages={"invalid_date": "Enter a valid date, such as 2027-01-31."},
    )

    scopes = forms.MultipleChoiceField(
        label="Scopes",
        choices=Scope.choices,
        initial=[Scope.INFERENCE],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )

    allowed_models = forms.ModelMultipleChoiceField(
        label="Allowed models",
        queryset=Model.objects.all(),
        required=False,
        widget=UnfoldAdminSelect2MultipleWidget(
            attrs={"data-placeholder": "All models", "data-width": "100%"}
        ),
        help_text="Type to search for models. Empty: all.",
    )

    class Meta:
        model = ApiKey
        fields = (
            "name",
            "owner",
            "scopes",
            "allowed_models",
            "rate_limit",
            "weight",
            "expires_at",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "rate_limit" in self.fields:
            self.fields["rate_limit"].widget.attrs["placeholder"] = "as configured"

    def clean_expires_at(self) -> datetime | None:
        """Check that the key does not expire in the past. Raises ValidationError."""
        end: datetime | None = self.cleaned_data["expires_at"]
        if end and "expires_at" in self.changed_data and end <= timezone.now():
            raise ValidationError("This time is in the past; choose a later one.")
        return end


class NewApiKeyForm(ApiKeyForm):
    """The form that creates a key, once.

    The response shows the secret, so it cannot be a redirect, and reloading it sends
    the form again. ``form_id`` is valid for one key: a second submission creates none
    and reports that.
    """

    form_id = forms.CharField(widget=forms.HiddenInput)
    #: Set on a subclass for each request.
    request: HttpRequest

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.is_bound:
            self.initial["form_id"] = self._open()

    def clean(self) -> dict[str, Any] | None:
        """Mark the form as used if it has no other errors."""
        cleaned = super().clean()
        if not self.errors and not self._use_up(self.cleaned_data["form_id"]):
            data = cast("QueryDict", self.data).copy()
            data[self.add_prefix("form_id")] = self._open()
            self.data = data
            raise ValidationError(
                "This form was already submitted, and its key exists. The secret "
                "cannot be shown again. If it is lost, revoke that key and save this "
                "form to create another one."
            )
        return cleaned

    def _open(self) -> str:
        form_id = secrets.token_urlsafe(12)
        opened = [*self.request.session.get(_SESSION_KEY, []), form_id]
        self.request.session[_SESSION_KEY] = opened[-_OPEN_FORMS:]
        return form_id

    def _use_up(self, form_id: str) -> bool:
        """Return whether the form was still unused, and mark it as used.

        A double click submits it twice at once. Because of the lock on the user's
        row, which is held until the key is saved, and the session that is read again,
        only one of the two finds it unused. On SQLite the admin's transaction locks.
        """
        user = cast("User", self.request.user)
        User.objects.select_for_update().get(pk=user.pk)
        session = self.request.session
        opened = type(session)(session.session_key).get(_SESSION_KEY, [])
        if form_id not in opened:
            return False
        session[_SESSION_KEY] = [other for other in opened if other != form_id]
        session.save()
        return True
