"""The login of all users: passwords, second factors, and where it leads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP
from auditlog.models import LogEntry
from django.core.cache import cache
from django.urls import reverse

from tests.accounts.sign_in.totp import code_now
from tests.configuration import changed
from tests.factories import make_user

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse"
LOGIN = "/account/login/"
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


@pytest.fixture(autouse=True)
def _nobody_has_failed() -> None:
    cache.clear()


def log_in(client: Client, name: str = "anna", **more: Any) -> Any:
    body = {"username": name, "password": PASSWORD, **more}
    return client.post(LOGIN, body)


@pytest.mark.parametrize(
    ("is_staff", "target"), [(True, "/admin/"), (False, "/account/")]
)
def test_staff_goes_to_the_admin_and_everyone_else_to_their_own_page(
    client: Client, is_staff: bool, target: str
) -> None:
    make_user("anna", password=PASSWORD, is_staff=is_staff)
    assert log_in(client)["Location"] == target
    assert client.get(target).status_code == 200
    # Who is logged in needs no login.
    assert client.get(LOGIN)["Location"] == target


def test_a_login_leads_to_where_one_was_going_and_to_no_other_site(
    client: Client,
) -> None:
    make_user("anna", password=PASSWORD)
    page = "/account/keys/new/"
    assert client.get(page)["Location"] == f"{LOGIN}?next={page}"
    answer = client.post(
        f"{LOGIN}?next={page}", {"username": "anna", "password": PASSWORD}
    )
    assert answer["Location"] == page
    client.logout()
    answer = client.post(
        f"{LOGIN}?next=https://evil.example/",
        {"username": "anna", "password": PASSWORD},
    )
    assert answer["Location"] == "/account/"


def test_an_inactive_user_and_a_wrong_password_look_alike(client: Client) -> None:
    make_user("anna", password=PASSWORD, is_active=False)
    make_user("bob", password=PASSWORD)
    pages = [log_in(client), log_in(client, "bob", password="wrong")]
    for page in pages:
        assert page.status_code == 200
        assert "user name or the password is wrong" in page.content.decode()


def test_who_is_no_staff_sees_nothing_of_the_admin(client: Client) -> None:
    client.force_login(make_user("anna"))
    answer = client.get("/admin/", follow=True)
    assert answer.redirect_chain[-1][0] == "/account/"
    assert client.get("/admin/accounts/apikey/").status_code == 302


def test_passwords_can_be_switched_off(client: Client, settings: Any) -> None:
    make_user("anna", password=PASSWORD, is_staff=True)
    settings.CONFIG = changed(
        settings.CONFIG,
        auth__passwords=False,
        oidc__issuer="https://id.example.org",
        oidc__name="Example",
    )
    for page in (LOGIN, "/admin/login/"):
        html = client.get(page).content.decode()
        assert 'name="password"' not in html
        assert "Log in with Example" in html
        body = {"username": "anna", "password": PASSWORD}
        assert "switched off" in client.post(page, body).content.decode()


# The second factor ---------------------------------------------------------------


@pytest.fixture
def guarded(client: Client) -> Client:
    """A client who has given the right password of someone with a second factor."""
    anna = make_user("anna", password=PASSWORD, is_staff=True, is_superuser=True)
    TOTP.activate(anna, SECRET)
    answer = log_in(client)
    assert answer["Location"] == reverse("mfa_authenticate")
    return client


def test_a_password_alone_does_not_log_in_who_has_a_second_factor(
    guarded: Client,
) -> None:
    assert guarded.get("/admin/").status_code == 302
    assert guarded.get("/account/").status_code == 302

    page = guarded.get(reverse("mfa_authenticate"))
    assert page.status_code == 200
    answer = guarded.post(reverse("mfa_authenticate"), {"code": code_now(SECRET)})
    assert answer["Location"] == "/admin/"
    assert guarded.get("/admin/").status_code == 200


def test_codes_cannot_be_guessed_without_end(guarded: Client) -> None:
    texts = []
    for number in range(6):
        answer = guarded.post(reverse("mfa_authenticate"), {"code": f"{number:06d}"})
        texts.append(answer.content.decode())
    assert "Incorrect code" in texts[0]
    assert "Too many failed login attempts" in texts[-1]
    answer = guarded.post(reverse("mfa_authenticate"), {"code": code_now(SECRET)})
    assert answer.status_code == 200


def test_a_code_works_once(guarded: Client) -> None:
    code = code_now(SECRET)
    guarded.post(reverse("mfa_authenticate"), {"code": code})
    guarded.logout()
    log_in(guarded)
    answer = guarded.post(reverse("mfa_authenticate"), {"code": code})
    assert "Incorrect code" in answer.content.decode()


def test_the_secret_of_a_second_factor_is_encrypted_and_in_no_log(
    guarded: Client, admin_client: Client
) -> None:
    row = Authenticator.objects.get()
    assert SECRET not in str(row.data)
    assert row.wrap().validate_code(code_now(SECRET))
    assert not any(SECRET in str(e.changes) for e in LogEntry.objects.all())
    page = f"/admin/mfa/authenticator/{row.pk}/change/"
    assert row.data["secret"] not in admin_client.get(page).content.decode()
    # Whoever lost the phone is let in again by an administrator.
    admin_client.post(f"/admin/mfa/authenticator/{row.pk}/delete/", {"post": "yes"})
    guarded.logout()
    assert log_in(guarded)["Location"] == "/admin/"


@pytest.mark.parametrize(
    "path",
    [
        "2fa/",
        "2fa/totp/activate/",
        "password/",
        "reauthenticate/",
        "logout/",
        "inactive/",
    ],
)
def test_the_pages_of_signing_in_have_the_admins_look(
    client: Client, path: str
) -> None:
    anna = make_user("anna", password=PASSWORD)
    client.force_login(anna)
    page = client.get(f"/account/{path}", follow=True)
    assert page.status_code == 200
    assert "llm_manager/admin.css" in page.content.decode()
    check_words(page.content.decode())


#: What the library says where we say log in, second factor, set up and remove.
LIBRARYS_WORDS = (
    "Sign In",
    "Sign Out",
    "Two-Factor",
    "hird-party",
    "Authenticator App",
)


def make_recovery_codes(client: Client) -> None:
    client.post("/account/reauthenticate/", {"password": PASSWORD})
    client.post("/account/2fa/recovery-codes/generate/")


def check_words(page: str) -> None:
    assert [word for word in LIBRARYS_WORDS if word in page] == []


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("2fa/", "Second factor"),
        ("2fa/recovery-codes/generate/", "New recovery codes"),
        ("2fa/recovery-codes/", "Recovery codes"),
        ("2fa/totp/deactivate/", "Remove the authenticator app"),
        ("oidc/cancelled/", "Not logged in"),
        ("oidc/error/", "Not logged in"),
    ],
)
def test_the_librarys_pages_use_our_words(
    guarded: Client, path: str, title: str
) -> None:
    second = reverse("mfa_authenticate")
    check_words(guarded.get(second).content.decode())
    guarded.post(second, {"code": code_now(SECRET)})
    make_recovery_codes(guarded)
    page = guarded.get(f"/account/{path}", follow=True).content.decode()
    assert title in page
    check_words(page)


def test_recovery_codes_are_shown_one_a_line_and_log_in_once(guarded: Client) -> None:
    guarded.post(reverse("mfa_authenticate"), {"code": code_now(SECRET)})
    make_recovery_codes(guarded)
    page = guarded.get("/account/2fa/recovery-codes/").content.decode()
    codes = page.partition("readonly>")[2].partition("<")[0].split("\n")
    assert len(codes) == 10
    guarded.logout()
    second = log_in(guarded)["Location"]
    assert guarded.post(second, {"code": codes[0]}).status_code == 302
    shown = guarded.get("/account/2fa/").content.decode()
    assert "9 of 10 can still be used" in shown


@pytest.mark.parametrize("path", ["signup/", "password/reset/", "email/"])
def test_what_is_not_used_of_the_library_has_no_page(client: Client, path: str) -> None:
    assert client.get(f"/account/{path}").status_code == 404


def test_who_has_no_password_changes_none(client: Client) -> None:
    client.force_login(make_user("anna"))
    page = client.get("/account/password/", follow=True)
    assert "without a password here" in page.content.decode()
