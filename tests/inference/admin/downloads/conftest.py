"""Signed-in people before the pages of downloads, and a hub."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.factories import make_user
from tests.hub_fixtures import hub as hub
from tests.hub_fixtures import models_dir as models_dir
from tests.hub_fixtures import tiny_repo as tiny_repo


def signed_in(*permissions: str) -> Client:
    """Return the browser of a staff user with these permissions."""
    client = Client()
    client.force_login(make_user(None, *permissions, is_staff=True))
    return client


@pytest.fixture
def viewer() -> Client:
    """Who may only look."""
    return signed_in("registry.view_download", "registry.view_model")


@pytest.fixture
def manager() -> Client:
    """Who may do all with downloads and models."""
    return signed_in(
        *(f"registry.{verb}_download" for verb in ("view", "add", "change", "delete")),
        *(f"registry.{verb}_model" for verb in ("view", "change", "delete")),
    )
