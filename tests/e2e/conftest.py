"""The real server: Redis, engine, workers and Daphne as their users start them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.e2e.chromium import CHROMIUM, CHROMIUM_ARGS, PATIENCE_MS
from tests.factories import make_user
from tests.shared_server import EMBEDDER as EMBEDDER
from tests.shared_server import Q4_0 as Q4_0
from tests.shared_server import Q4_1 as Q4_1
from tests.shared_server import RERANKER as RERANKER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, ConsoleMessage, Page
    from pytest_django.live_server_helper import LiveServer

PASSWORD = "correct horse"


@pytest.fixture(autouse=True)
def show_log(request: pytest.FixtureRequest, data_dir: Path) -> Iterator[None]:
    """Print what the server logged during a test; pytest shows it on failure."""
    log = data_dir / "log"
    before = log.stat().st_size if log.exists() else 0
    yield
    if log.exists():
        with log.open("rb") as stream:
            stream.seek(before, os.SEEK_SET)
            print(stream.read().decode("utf-8", "replace"))  # noqa: T201


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for the pages of a live server."""
    # Playwright's synchronous interface keeps an event loop running in this
    # thread, where Django would then refuse to query.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=CHROMIUM, args=CHROMIUM_ARGS
        )
        yield started
        started.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def page(browser: Browser, live_server: LiveServer) -> Iterator[Page]:
    """A page of a logged-in superuser; afterwards, that nothing went wrong on it."""
    make_user("admin", password=PASSWORD, is_staff=True, is_superuser=True)
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    errors: list[str] = []
    asked: set[str] = set()

    def is_fault(entry: ConsoleMessage) -> bool:
        # The browser reports the status of a refused page, which a test may ask for.
        is_status = entry.text.startswith("Failed to load resource")
        return entry.type == "error" and not (
            is_status and entry.location["url"] == page.url
        )

    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "console",
        lambda entry: errors.append(entry.text) if is_fault(entry) else None,
    )
    page.on("request", lambda request: asked.add(request.url))
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{live_server.url}/admin/")
    page.fill("#id_username", "admin")
    page.fill("#id_password", PASSWORD)
    page.click("#login-form [type=submit]")
    page.wait_for_selector("text=Dashboard")
    yield page
    context.close()
    assert errors == []
    own = urlsplit(live_server.url).netloc
    assert {urlsplit(url).netloc for url in asked if not url.startswith("data:")} == {
        own
    }
