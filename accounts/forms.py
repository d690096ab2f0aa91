"""The forms for API keys."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.validators import ProhibitNullCharactersValidator
from django.db import transaction
from django.forms.forms import DeclarativeFieldsMetaclass
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelect2MultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.expiry import END_OF_DAY
from accounts.models import ApiKey, Scope, Team
from accounts.models.allowed_networks import parse_networks
from registry.models import Model

if TYPE_CHECKING:
    from datetime import datetime

    from django.http import HttpRequest, QueryDict

    ApiKeyModelForm = forms.ModelForm[ApiKey]
    TeamModelForm = forms.ModelForm[Team]
else:
    ApiKeyModelForm = TeamModelForm = forms.ModelForm

#: Characters of a table of keys, bytes of one in a file.
_MAX_TABLE = 1_000_000
_SESSION_KEY = "api_key_forms"
#: Open forms of one session; above that, the oldest is dropped.
_OPEN_FORMS = 20


def _models_in_force(row: ApiKey | Team) -> str:
    if row.all_models:
        return "All models"
    return ", ".join(model.name for model in row.allowed_models.all()) or "No model"


def _networks_in_force(key: ApiKey) -> str:
    return ", ".join(key.allowed_networks) or "Any network"


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
    "allowed_networks": _networks_in_force,
    "rate_limit": _rate_limit_in_force,
    "expires_at": _expiry_in_force,
}


class ExpiryField(forms.SplitDateTimeField):
    """A date and a time in UTC; a date alone means the last minute of that day."""

    def compress(self, data_list: Any) -> datetime | None:
        """Return the moment, or None if both are empty. Raises ValidationError."""
        if data_list and data_list[0] and data_list[1] is None:
            data_list = [data_list[0], END_OF_DAY.replace(tzinfo=None)]
        moment: datetime | None = super().compress(data_list)
        return moment


class NetworksField(forms.CharField):
    """Networks in CIDR notation, between commas or white space."""

    def __init__(self, **kwargs: Any) -> None:
        options = {
            "label": "Allowed from",
            "required": False,
            "widget": UnfoldAdminTextInputWidget(attrs={"placeholder": "any network"}),
            "help_text": "Networks that requests may come from, such as 10.0.0.0/8. "
            "Empty: any.",
        }
        super().__init__(**options | kwargs)

    def prepare_value(self, value: Any) -> Any:
        """Return the text of a list of networks."""
        return ", ".join(value) if isinstance(value, list) else value

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Return whether the text is another one than the list's."""
        return super().has_changed(self.prepare_value(initial or []), data)

    def clean(self, value: Any) -> Any:
        """Return a list of networks. Raises ValidationError."""
        return parse_networks(super().clean(value))


class ListedModels(UnfoldAdminSelect2MultipleWidget):  # type: ignore[misc]
    """A choice among options that are all in the page.

    Django's script makes every box of the class ``admin-autocomplete`` ask the server
    for options, if any box of the page does; this one's address would be none.
    """

    def __init__(self) -> None:
        super().__init__({"data-placeholder": "No model", "data-width": "100%"})
        self.attrs["class"] = "unfold-admin-autocomplete"


class AllowedModelsForm(forms.BaseForm, metaclass=DeclarativeFieldsMetaclass):
    """What keys and teams have in common: all models, or a list of them."""

    allowed_models = forms.ModelMultipleChoiceField(
        label="Allowed models",
        queryset=Model.objects.all(),
        required=False,
        widget=ListedModels(),
        help_text="Type to search for models.",
    )

    def clean(self) -> dict[str, Any] | None:
        """Check that there is a list or the flag, not both. Raises ValidationError."""
        cleaned = super().clean()
        if {"all_models", "allowed_models"} & set(self.changed_data):
            values = self.cleaned_data
            has_all, chosen = values.get("all_models"), values.get("allowed_models")
            if has_all and chosen:
                self.add_error(
                    "allowed_models", "Choose these models or all models, not both."
                )
        return cleaned


class ApiKeyForm(AllowedModelsForm, ApiKeyModelForm):
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
    allowed_networks = NetworksField()

    class Meta:
        model = ApiKey
        fields = (
            "name",
            "owner",
            "team",
            "scopes",
            "all_models",
            "allowed_models",
            "allowed_networks",
            "rate_limit",
            "weight",
            "expires_at",
            "notes",
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


class TeamForm(AllowedModelsForm, TeamModelForm):
    """The fields of a team that an administrator may edit."""

    class Meta:
        model = Team
        fields = ("group", "all_models", "allowed_models", "notes")


class OnceForm(forms.BaseForm, metaclass=DeclarativeFieldsMetaclass):
    """A form that shows secrets in its answer, so that it is valid once.

    The response shows the secret, so it cannot be a redirect, and reloading it sends
    the form again. ``form_id`` is valid for one submission: a second one does nothing
    and reports that.
    """

    form_id = forms.CharField(widget=forms.HiddenInput)
    #: Set on a subclass for each request, or by the view.
    request: HttpRequest

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "request" in kwargs:
            self.request = kwargs.pop("request")
        super().__init__(*args, **kwargs)
        if not self.is_bound:
            self.initial["form_id"] = self._open()

    def full_clean(self) -> None:
        """Mark the form as used, once all else is found to be valid."""
        super().full_clean()
        if not self.is_bound or self.errors:
            return
        if not self._use_up(self.cleaned_data["form_id"]):
            self.reopen()
            self.add_error(
                None,
                "This form was already submitted, and its key exists. The secret "
                "cannot be shown again. If it is lost, revoke that key and save this "
                "form to create another one.",
            )

    def reopen(self) -> None:
        """Make what was sent valid for another submission, after a refusal."""
        data = cast("QueryDict", self.data).copy()
        data[self.add_prefix("form_id")] = self._open()
        self.data = data

    def _open(self) -> str:
        form_id = secrets.token_urlsafe(12)
        opened = [*self.request.session.get(_SESSION_KEY, []), form_id]
        self.request.session[_SESSION_KEY] = opened[-_OPEN_FORMS:]
        return form_id

    def _use_up(self, form_id: str) -> bool:
        """Return whether the form was still unused, and mark it as used.

        A double click submits it twice at once. Because of the lock on the user's
        row, which is held until the session is saved, and the session that is read
        again, only one of the two finds it unused. On SQLite the transaction locks.
        """
        user = cast("User", self.request.user)
        session = self.request.session
        with transaction.atomic():
            User.objects.select_for_update(no_key=True).get(pk=user.pk)
            opened = type(session)(session.session_key).get(_SESSION_KEY, [])
            # Also of a form that was used: this session would open it again.
            session[_SESSION_KEY] = [other for other in opened if other != form_id]
            if form_id not in opened:
                return False
            session.save()
        return True


class NewApiKeyForm(OnceForm, ApiKeyForm):
    """The form that creates a key, once."""

    def clean(self) -> dict[str, Any] | None:
        """Check that the key may use some model. Raises ValidationError."""
        values = self.cleaned_data
        if not values.get("all_models") and not values.get("allowed_models"):
            self.add_error("allowed_models", "Choose models, or all models above.")
        return super().clean()


class RotateForm(OnceForm, forms.Form):
    """For how long a rotated key goes on working."""

    grace = forms.TypedChoiceField(
        label="The old key works for",
        coerce=lambda hours: timedelta(hours=int(hours)),
        choices=[
            (0, "no longer: it is revoked at once"),
            (1, "1 more hour"),
            (24, "1 more day"),
            (24 * 7, "7 more days"),
            (24 * 30, "30 more days"),
        ],
        initial=24 * 7,
        widget=UnfoldAdminSelectWidget,
    )


class TableForm(OnceForm, forms.Form):
    """A table of keys in CSV, as a file or as text."""

    file = forms.FileField(required=False, label="File")
    text = forms.CharField(
        required=False,
        label="or text",
        max_length=_MAX_TABLE,
        strip=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 10, "class": "lm-code"}),
    )

    def clean(self) -> dict[str, Any] | None:
        """Read the file into ``text``. Raises ValidationError."""
        values = self.cleaned_data
        file = values.get("file")
        if bool(file) == bool(values.get("text", "").strip()):
            raise ValidationError("Choose a file or paste a table, one of them.")
        if file:
            if file.size > _MAX_TABLE:
                raise ValidationError(f"The file has more than {_MAX_TABLE:,} bytes.")
            try:
                values["text"] = file.read().decode()
            except UnicodeDecodeError:
                raise ValidationError("The file is no text in UTF-8.") from None
            ProhibitNullCharactersValidator()(values["text"])
        return super().clean()
