"""What tests of the admin ask of a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.messages import get_messages
from django.db import connection
from django.test.utils import CaptureQueriesContext

if TYPE_CHECKING:
    from django.test import Client


def said(response: Any) -> list[str]:
    """Return the messages that wait after a response, each after its level."""
    return [f"{m.level_tag}: {m}" for m in get_messages(response.wsgi_request)]


def count_queries(client: Client, url: str) -> int:
    """Return how many queries a page takes."""
    with CaptureQueriesContext(connection) as queries:
        assert client.get(url).status_code == 200
    return len(queries)
