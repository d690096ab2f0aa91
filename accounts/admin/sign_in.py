"""The admin of second factors and of the provider's accounts: to see and to remove."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django.contrib import admin

from llm_manager.lib.unfold_types import ModelAdmin

if TYPE_CHECKING:
    from django.http import HttpRequest

# The last three have nothing here: the provider is configured, its tokens are not kept.
for model in (SocialAccount, Authenticator, EmailAddress, SocialApp, SocialToken):
    admin.site.unregister(model)


class _Removable(ModelAdmin[Any]):
    """Rows that their users make, and that an administrator may remove."""

    list_select_related = ("user",)
    search_fields = ("user__username",)
    search_help_text = "User name"

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: users make them."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False, for everyone."""
        return False


@admin.register(Authenticator)
class SecondFactorAdmin(_Removable):
    """Second factors. Whoever lost theirs gets in again once it is removed."""

    list_display = ("user", "type", "created_at", "last_used_at")
    # Not its secret.
    fields = ("user", "type", "created_at", "last_used_at")


@admin.register(SocialAccount)
class ProviderAccountAdmin(_Removable):
    """Which user of the provider is which user here."""

    list_display = ("user", "uid", "last_login", "date_joined")
    fields = ("user", "uid", "last_login", "date_joined")
