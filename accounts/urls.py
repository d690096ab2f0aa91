"""The routes of users' own pages, and those of signing in."""

from __future__ import annotations

from allauth.account import views as allauth_account
from allauth.socialaccount import views as allauth_social
from allauth.socialaccount.providers.openid_connect import views as allauth_oidc
from django.urls import include, path

from accounts.pages import keys
from accounts.sign_in.views import accept_invitation, change_password, sign_in

# Of allauth's routes those that are used here: no sign-up, no mail.
urlpatterns = [
    path("", keys.index, name="account"),
    path("keys/new/", keys.new, name="account_new_key"),
    path("keys/<str:prefix>/revoke/", keys.revoke, name="account_revoke_key"),
    path("keys/<str:prefix>/rotate/", keys.rotate, name="account_rotate_key"),
    path("login/", sign_in, name="account_login"),
    path("logout/", allauth_account.logout, name="account_logout"),
    path("inactive/", allauth_account.account_inactive, name="account_inactive"),
    path("invite/<str:token>/", accept_invitation, name="account_invitation"),
    path("password/", change_password, name="account_change_password"),
    path(
        "reauthenticate/",
        allauth_account.reauthenticate,
        name="account_reauthenticate",
    ),
    path("2fa/", include("allauth.mfa.urls")),
    path(
        "oidc/<str:provider_id>/login/", allauth_oidc.login, name="openid_connect_login"
    ),
    path(
        "oidc/<str:provider_id>/login/callback/",
        allauth_oidc.callback,
        name="openid_connect_callback",
    ),
    path(
        "oidc/cancelled/",
        allauth_social.login_cancelled,
        name="socialaccount_login_cancelled",
    ),
    path("oidc/error/", allauth_social.login_error, name="socialaccount_login_error"),
    path("oidc/signup/", allauth_social.signup, name="socialaccount_signup"),
    path("oidc/", allauth_social.connections, name="socialaccount_connections"),
]
