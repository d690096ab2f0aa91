"""The login of all users, and the page of an invitation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allauth.account import views as allauth_account
from allauth.account.utils import perform_login
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache

from accounts.limits.login import LoginForm
from accounts.sign_in.adapters import INVITATION, AccountAdapter, refusal
from accounts.sign_in.forms import InvitedUserForm
from accounts.sign_in.invitations import invitation_accept, invitation_find

if TYPE_CHECKING:
    from django.contrib.auth.forms import AuthenticationForm
    from django.http.response import HttpResponseBase

    from accounts.models import Invitation


class SignInView(LoginView):
    """The login by password, with the way to the provider if there is one."""

    authentication_form = LoginForm
    template_name = "account/login.html"
    redirect_authenticated_user = True

    def get_default_redirect_url(self) -> str:
        """Return the admin for staff, a user's own page for everyone else."""
        return AccountAdapter().get_login_redirect_url(self.request)

    def get_redirect_url(self, request: HttpRequest | None = None) -> str:
        """Return where one was going, unless that is the admin and one is no staff."""
        target = super().get_redirect_url()
        user = self.request.user
        if user.is_authenticated and not getattr(user, "is_staff", False):
            return "" if target.startswith(reverse("admin:index")) else target
        return target

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """Log in, or go on to the second factor."""
        target: str | None = self.get_redirect_url() or None
        answer: HttpResponse = perform_login(
            self.request, form.get_user(), redirect_url=target
        )
        return answer

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return the context of unfold's login page."""
        return {
            **super().get_context_data(**kwargs),
            **admin.site.each_context(self.request),
            **provider_context(),
            "title": "Log in",
            "app_path": self.request.get_full_path(),
            "next": self.get_redirect_url(),
            "login_image": None,
        }


def provider_context() -> dict[str, Any]:
    """Return what pages need to offer the ways to sign in."""
    config = settings.CONFIG
    return {
        "has_passwords": config.auth.passwords,
        "provider": config.oidc.name if config.oidc.issuer else None,
    }


_sign_in = never_cache(SignInView.as_view())


def sign_in(request: HttpRequest, extra_context: Any = None) -> HttpResponseBase:
    """Answer the login, the admin's too."""
    return _sign_in(request)


def replace_admin_login() -> None:
    """Have the admin log in by the same door as everyone else."""
    admin.site.login = sign_in  # type: ignore[assignment,method-assign]


@login_required
def change_password(request: HttpRequest) -> HttpResponse:
    """Answer the change of one's password, for who has one that works here."""
    has_password = isinstance(request.user, User) and request.user.has_usable_password()
    if not (settings.CONFIG.auth.passwords and has_password):
        messages.info(request, "You log in at the provider, without a password here.")
        return redirect("account")
    answer: HttpResponse = allauth_account.password_change(request)
    return answer


@never_cache
def accept_invitation(request: HttpRequest, token: str) -> HttpResponse:
    """Show what an invitation is for (GET), or accept it (POST)."""
    try:
        invitation = invitation_find(token)
        if isinstance(request.user, User):
            return _join(request, invitation, token, request.user)
        return _welcome(request, invitation, token)
    except ValidationError as error:
        return refusal(request, error.messages[0], 404)


def _join(
    request: HttpRequest, invitation: Invitation, token: str, user: User
) -> HttpResponse:
    if request.method != "POST":
        return _page(request, invitation, None)
    invitation_accept(token=token, user=user)
    return redirect("admin:index" if invitation.views_admin else "account")


def _welcome(request: HttpRequest, invitation: Invitation, token: str) -> HttpResponse:
    # A link: the pages' policy forbids a form that is redirected to another host.
    if "provider" in request.GET:
        if not settings.CONFIG.oidc.issuer:
            return refusal(request, "There is no sign-in provider here.", 404)
        request.session[INVITATION] = token
        return HttpResponseRedirect(
            reverse("openid_connect_login", kwargs={"provider_id": "sso"})
        )
    if not settings.CONFIG.auth.passwords:
        return _page(request, invitation, None)
    form = InvitedUserForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        return _page(request, invitation, form)
    with transaction.atomic():
        user = form.save()
        invitation_accept(token=token, user=user)
    answer: HttpResponse = perform_login(request, user)
    return answer


def _page(
    request: HttpRequest, invitation: Invitation, form: InvitedUserForm | None
) -> HttpResponse:
    context = {
        **provider_context(),
        "title": "Invitation",
        "invitation": invitation,
        "teams": invitation.teams.select_related("group"),
        "form": form,
    }
    return render(request, "account/invitation.html", context)
