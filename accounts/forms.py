"""The form of an API key."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelect2MultipleWidget,
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
#: Forms that one session may have open at once; the oldest is forgotten.
_OPEN_FORMS = 20


class ApiKeyForm(ModelForm):
    """What an administrator may say of a key."""

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
        help_text="Type to find models; none chosen means all.",
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
            self.fields["expires_at"].help_text = "UTC; empty is never."

    def clean_expires_at(self) -> datetime | None:
        """Refuse an end that has passed. Raises ValidationError."""
        end: datetime | None = self.cleaned_data["expires_at"]
        if end and "expires_at" in self.changed_data and end <= timezone.now():
            raise ValidationError("This moment has passed; choose a later one.")
        return end


class NewApiKeyForm(ApiKeyForm):
    """The form that makes a key, once.

    The answer to it shows the secret, so it cannot be a redirect, and reloading
    that answer sends the form again. ``form_id`` is good for one key: sent a
    second time, the form makes none and says so.
    """

    form_id = forms.CharField(widget=forms.HiddenInput)
    #: Set on a subclass for each request.
    request: HttpRequest

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.is_bound:
            self.initial["form_id"] = self._open()

    def clean(self) -> dict[str, Any] | None:
        """Use the form up, if there is nothing else to correct in it."""
        cleaned = super().clean()
        if not self.errors and not self._use_up(self.cleaned_data["form_id"]):
            data = cast("QueryDict", self.data).copy()
            data[self.add_prefix("form_id")] = self._open()
            self.data = data
            raise ValidationError(
                "This form was already sent and its key exists. The secret cannot be "
                "shown again: if it is lost, revoke that key and save this form for "
                "another."
            )
        return cleaned

    def _open(self) -> str:
        form_id = secrets.token_urlsafe(12)
        opened = [*self.request.session.get(_SESSION_KEY, []), form_id]
        self.request.session[_SESSION_KEY] = opened[-_OPEN_FORMS:]
        return form_id

    def _use_up(self, form_id: str) -> bool:
        """Whether the form was open; it is not any more.

        A double click sends it twice at once: the lock on the user's row, held
        until the key is saved, and a fresh look at the session make one of the
        two find it used up. On SQLite the admin's transaction is the lock.
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
