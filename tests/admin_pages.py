"""What tests of the admin ask of a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.contrib.messages import get_messages
from django.db import connection
from django.test import AsyncClient
from django.test.utils import CaptureQueriesContext

from tests.factories import make_user

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


async def streamed(path: str) -> str:
    """Return what an administrator is sent in parts."""
    client = AsyncClient()
    await client.aforce_login(
        await sync_to_async(make_user)(is_staff=True, is_superuser=True)
    )
    response: Any = await client.get(path)
    return b"".join([part async for part in response.streaming_content]).decode()
