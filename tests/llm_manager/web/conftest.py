"""The routes of the web process are called as those of the API are."""

from __future__ import annotations

from tests.inference.api.conftest import (  # noqa: F401
    _alone,
    admin_api,
    api,
    configure,
    engine,
    key,
    model,
)
