"""The form of someone who was invited."""

from __future__ import annotations

from typing import Any

from unfold.forms import UserCreationForm
from unfold.widgets import UnfoldAdminTextInputWidget


class InvitedUserForm(UserCreationForm):  # type: ignore[misc]
    """A user name and a password, by the rules of the configuration."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].widget = UnfoldAdminTextInputWidget(
            attrs={"autocomplete": "username"}
        )
        # The admin's form may create a user without a password.
        self.fields.pop("usable_password", None)
