"""How allauth signs people in here."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.conf import settings
from django.contrib.auth import authenticate
from django.core.exceptions import ValidationError
from django.db import transaction
from django.shortcuts import render
from django.urls import reverse

from accounts.limits.login import password_check
from accounts.limits.throttling import request_ip
from accounts.sign_in.claimed_teams import teams_follow_claim
from accounts.sign_in.claims import groups_in
from accounts.sign_in.invitations import invitation_accept

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.http import HttpRequest, HttpResponse

logger = logging.getLogger(__name__)

#: Characters of a provider's answer in a line of the log.
_MAX_REASON = 300
#: The secret of the invitation that someone follows to the provider.
INVITATION = "invitation"


class _WrongPasswordError(ValidationError):
    pass


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Passwords: with the lock of the login, and only if they are switched on."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Return False: users come by invitation, or from the provider."""
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        """Return the address that the login's attempts are counted under."""
        return request_ip(request)

    def authenticate(self, request: HttpRequest, **credentials: Any) -> Any:
        """Return the user, or None for a wrong password. Raises ValidationError."""
        if not settings.CONFIG.auth.passwords:
            raise ValidationError("Passwords are switched off here.")
        try:
            with password_check(request, credentials.get("username", "")):
                user = authenticate(request, **credentials)
                if user is None:
                    raise _WrongPasswordError("wrong password")
        except _WrongPasswordError:
            return None
        return user

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        """Return the admin for staff, a user's own page for everyone else."""
        is_staff = getattr(request.user, "is_staff", False)
        return reverse("admin:index" if is_staff else "account")

    def get_logout_redirect_url(self, request: HttpRequest) -> str:
        """Return the login."""
        return reverse("account_login")

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        """Return a user's own page."""
        return reverse("account")


class SocialAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """The OpenID Connect provider: who becomes a user, and of which teams."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        """Return whether the provider's user may become one here."""
        return settings.CONFIG.oidc.create_users or INVITATION in request.session

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        """Follow the claim of a user who is known. Raises ImmediateHttpResponse."""
        if sociallogin.is_existing:
            self._welcome(request, sociallogin.user, sociallogin)

    def save_user(
        self, request: HttpRequest, sociallogin: Any, form: Any = None
    ) -> Any:
        """Save a new user, in the teams of the claim. Raises ImmediateHttpResponse."""
        # An invitation that is refused makes no user.
        with transaction.atomic():
            user = super().save_user(request, sociallogin, form)
            self._welcome(request, user, sociallogin)
        return user

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: Any,
        error: Any = None,
        exception: Any = None,
        extra_context: Any = None,
    ) -> None:
        """Log why a sign-in failed, for the administrator; the page says less."""
        reason = str(exception)[:_MAX_REASON]
        logger.warning("Signing in at the provider failed: %s: %s", error, reason)

    def _welcome(self, request: HttpRequest, user: User, sociallogin: Any) -> None:
        claim = settings.CONFIG.oidc.groups_claim
        try:
            names = groups_in(sociallogin.account.extra_data, claim) if claim else None
            if names is not None:
                teams_follow_claim(user=user, names=names)
            token = request.session.pop(INVITATION, None)
            if token is not None:
                invitation_accept(token=token, user=user)
        except ValueError as error:
            logger.warning("Signing in at the provider failed: %s", error)
            text = f"The sign-in provider's answer cannot be used. {error}"
            raise ImmediateHttpResponse(refusal(request, text)) from None
        except ValidationError as error:
            raise ImmediateHttpResponse(refusal(request, error.messages[0])) from None


def refusal(request: HttpRequest, sentence: str, status: int = 403) -> HttpResponse:
    """Return a page that says why someone is not let in."""
    context = {"title": "Not signed in", "sentence": sentence}
    return render(request, "account/refused.html", context, status=status)
