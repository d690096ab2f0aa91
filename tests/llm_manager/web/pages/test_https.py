"""Pages behind a proxy that ends TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db

SECURE = {"HTTP_X_FORWARDED_PROTO": "https"}


@pytest.fixture(autouse=True)
def _https(settings: Any) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_HSTS_SECONDS = 3600
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True


def test_a_page_asked_for_by_http_is_redirected(client: Client) -> None:
    response = client.get("/admin/login/?next=/admin/", HTTP_HOST="llm.example.org")
    assert response.status_code == 301
    location = "https://llm.example.org/admin/login/?next=/admin/"
    assert response.headers["Location"] == location


def test_a_page_over_https_sends_hsts_and_secure_cookies(client: Client) -> None:
    response = client.get("/admin/login/", **SECURE)  # type: ignore[arg-type]
    assert response.status_code == 200
    assert response.headers["Strict-Transport-Security"] == "max-age=3600"
    assert response.cookies["csrftoken"]["secure"]


def test_the_page_shows_the_address_with_https(admin_client: Client) -> None:
    html = admin_client.get("/admin/", HTTP_HOST="llm.example.org", **SECURE)  # type: ignore[arg-type]
    assert ">https://llm.example.org/v1</code>" in html.content.decode()
