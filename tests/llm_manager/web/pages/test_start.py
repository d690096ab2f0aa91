"""GET /: the page that a person sees first."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.test import Client


def test_the_first_page_leads_to_the_admin_and_to_the_docs(client: Client) -> None:
    response = client.get("/", HTTP_HOST="llm.example.org")
    html = response.content.decode()
    assert response.status_code == 200
    assert 'href="/admin/"' in html
    assert 'href="/docs"' in html
    assert "http://llm.example.org/v1" in html
    assert "script-src 'self'" in response.headers["Content-Security-Policy"]
