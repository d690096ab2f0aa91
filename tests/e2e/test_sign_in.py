"""Signing in by an OpenID Connect provider and with a second factor, in chromium."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from playwright.sync_api import expect

from accounts.models import ApiKey, Team
from accounts.sign_in.invitations import invitation_create
from tests.accounts.sign_in.totp import code_now
from tests.accounts.test_admin import SECRET
from tests.configuration import changed
from tests.e2e.chromium import CHROMIUM, PATIENCE_MS
from tests.factories import make_model, make_team, make_user
from tests.llm_manager.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page
    from pytest_django.live_server_helper import LiveServer

pytestmark = [
    pytest.mark.browser,
    pytest.mark.long,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no chromium at {CHROMIUM}"),
]

PASSWORD = "correct horse battery"


class Provider:
    """A running provider, and what it says of anna."""

    def __init__(self, url: str) -> None:
        self.url = url

    def say(self, **claims: Any) -> None:
        """Have it say this of anna from now on."""
        page = f"{self.url}/users/anna@example.org"
        httpx.put(page, json=claims, trust_env=False).raise_for_status()


@pytest.fixture
def provider(settings: Any) -> Iterator[Provider]:
    """A provider that signs in whom the person at the browser names."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock"]
    process = subprocess.Popen(
        [*command, "--host", "localhost", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://localhost:{port}"
    try:
        wait_until(lambda: answers(f"{url}/.well-known/openid-configuration"))
        settings.CONFIG = changed(
            settings.CONFIG, oidc__issuer=url, oidc__name="Example"
        )
        app = {
            "provider_id": "sso",
            "name": "Example",
            "client_id": "llm-manager",
            "secret": "not secret",
            "settings": {"server_url": url},
        }
        settings.SOCIALACCOUNT_PROVIDERS = {
            "openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": [app]}
        }
        yield Provider(url)
    finally:
        process.terminate()
        process.wait(20)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Page]:
    """A page of nobody, as wide as a phone; afterwards, that no script failed."""
    cache.clear()
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []


def fits(page: Page) -> bool:
    """Return whether the page is no wider than the phone."""
    width: int = page.evaluate("document.documentElement.scrollWidth")
    return width <= 390


def sign_in(page: Page, live_server: LiveServer) -> None:
    """Go to the login, on to the provider, and come back."""
    page.goto(f"{live_server.url}/account/login/")
    page.click("text=Log in with Example")
    page.fill("input[name=sub]", "anna@example.org")
    page.click("text=Authorize >> nth=-1")


def test_the_provider_signs_in_and_its_groups_become_teams(
    visitor: Page, live_server: LiveServer, provider: Provider
) -> None:
    provider.say(
        preferred_username="anna", email="anna@example.org", groups=["red", "blue"]
    )
    sign_in(visitor, live_server)
    expect(visitor.locator("text=Your API keys")).to_be_visible()
    anna = User.objects.get()
    assert (anna.username, anna.is_staff, anna.has_usable_password()) == (
        "anna",
        False,
        False,
    )
    assert {str(team) for team in Team.objects.of_member(anna)} == {"blue", "red"}

    # A key, within what an administrator allows the team.
    Team.objects.get(group__name="red").allowed_models.add(make_model("tiny"))
    visitor.click("text=New key")
    assert fits(visitor)
    visitor.fill("input[name=name]", "phone")
    visitor.select_option("select[name=team]", label="red")
    visitor.click("text=Create the key")
    assert SECRET.search(visitor.inner_text("#secret"))
    assert fits(visitor)
    assert str(ApiKey.objects.get().team) == "red"

    # Out of a group there, out of the team here, at the next sign-in.
    visitor.goto(f"{live_server.url}/account/")
    assert fits(visitor)
    visitor.click("text=Log out anna")
    visitor.wait_for_url("**/account/login/")
    provider.say(preferred_username="anna", email="anna@example.org", groups=["blue"])
    sign_in(visitor, live_server)
    expect(visitor.locator("text=Your API keys")).to_be_visible()
    assert [str(team) for team in Team.objects.of_member(anna)] == ["blue"]
    assert User.objects.count() == 1


def test_nobody_gets_the_account_of_another_with_the_same_name(
    visitor: Page, live_server: LiveServer, provider: Provider
) -> None:
    make_user("anna", email="anna@example.org", is_superuser=True, is_staff=True)
    provider.say(preferred_username="anna", email="anna@example.org")
    sign_in(visitor, live_server)
    expect(visitor.locator("text=Your API keys")).to_be_visible()
    made = User.objects.exclude(username="anna").get()
    assert (made.is_staff, made.is_superuser) == (False, False)


def test_without_users_from_the_provider_it_takes_an_invitation(
    visitor: Page, live_server: LiveServer, provider: Provider, settings: Any
) -> None:
    settings.CONFIG = changed(
        settings.CONFIG, oidc__create_users=False, auth__passwords=False
    )
    provider.say(preferred_username="anna")
    sign_in(visitor, live_server)
    expect(visitor.locator("h2")).to_contain_text("No account here")
    assert not User.objects.exists()

    team = make_team("green")
    _, token = invitation_create(days=1, teams=[team])
    visitor.goto(f"{live_server.url}/account/invite/{token}/")
    assert fits(visitor)
    visitor.click("text=Go on with Example")
    visitor.fill("input[name=sub]", "anna@example.org")
    visitor.click("text=Authorize >> nth=-1")
    expect(visitor.locator("text=Your API keys")).to_be_visible()
    assert team.has_member(User.objects.get())


def test_a_provider_that_denies_signs_nobody_in(
    visitor: Page, live_server: LiveServer, provider: Provider
) -> None:
    visitor.goto(f"{live_server.url}/account/login/")
    visitor.click("text=Log in with Example")
    visitor.click("text=Deny")
    visitor.wait_for_url(f"{live_server.url}/account/**")
    assert not User.objects.exists()


def test_a_second_factor_is_set_up_and_asked_for(
    visitor: Page, live_server: LiveServer
) -> None:
    make_user("anna", password=PASSWORD, is_staff=True, is_superuser=True)

    def log_in() -> None:
        visitor.goto(f"{live_server.url}/admin/")
        visitor.fill("#id_username", "anna")
        visitor.fill("#id_password", PASSWORD)
        visitor.click("#login-form [type=submit]")

    log_in()
    visitor.goto(f"{live_server.url}/account/2fa/totp/activate/")
    if visitor.locator("input[type=password]").count():
        # It asks again for the password before such a change.
        visitor.fill("input[type=password]", PASSWORD)
        visitor.click("#content button[type=submit]")
    secret = visitor.input_value("#authenticator_secret")
    drawn = visitor.evaluate(
        "document.querySelector('.lm-qr').complete && "
        "document.querySelector('.lm-qr').naturalWidth > 0"
    )
    assert drawn
    assert fits(visitor)
    visitor.fill("input[name=code]", code_now(secret))
    visitor.click("#content button[type=submit]")
    expect(visitor.locator("h2", has_text="Recovery Codes")).to_be_visible()
    codes = visitor.input_value("#recovery_codes").split()
    assert len(codes) == 10

    visitor.goto(f"{live_server.url}/account/")
    visitor.click("text=Log out anna")
    visitor.wait_for_url("**/account/login/")
    log_in()
    # The app's code of this half minute is used up; a recovery code works, too.
    visitor.fill("input[name=code]", codes[0])
    visitor.click("#content button[type=submit] >> nth=0")
    visitor.wait_for_url("**/admin/")
