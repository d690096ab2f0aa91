"""What the pages' Content-Security-Policy permits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db


def policy(client: Client, path: str) -> dict[str, list[str]]:
    header = client.get(path).headers["Content-Security-Policy"]
    directives = (directive.split() for directive in header.split(";"))
    return {name: values for name, *values in directives}


@pytest.mark.parametrize("path", ["/admin/", "/admin/no/such/page/", "/docs"])
def test_scripts_come_from_the_server_and_none_from_the_page(
    admin_client: Client, path: str
) -> None:
    found = policy(admin_client, path)
    assert found["default-src"] == ["'self'"]
    assert set(found["script-src"]) <= {"'self'", "'unsafe-eval'"}
    for name in ("object-src", "base-uri", "frame-ancestors"):
        assert found[name] == ["'none'"]
    assert found["form-action"] == ["'self'"]


def test_the_docs_need_no_eval(client: Client) -> None:
    assert policy(client, "/docs")["script-src"] == ["'self'"]


def test_no_page_has_a_script_of_its_own(admin_client: Client) -> None:
    for path in ("/admin/", "/admin/registry/model/", "/admin/login/", "/docs"):
        html = admin_client.get(path, follow=True).content.decode()
        for script in html.split("<script")[1:]:
            assert "src=" in script.split(">")[0]
            assert script.split(">")[1].startswith("</script")
