"""The real server: Redis, engine, workers and Daphne as their users start them."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import expect, sync_playwright

from tests.checkout import EMBEDDING_MODEL
from tests.e2e.chromium import CHROMIUM, CHROMIUM_ARGS, PATIENCE_MS
from tests.factories import make_user
from tests.tiny_reranker import write_tiny_reranker
from tests.whole_server import Server, put_models, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, ConsoleMessage, Page
    from pytest_django.live_server_helper import LiveServer

Q4_0 = "SmolLM2-135M-Instruct.Q4_0"
Q4_1 = "SmolLM2-135M-Instruct.Q4_1"
EMBEDDER = EMBEDDING_MODEL.stem
RERANKER = "tiny-reranker"
PASSWORD = "correct horse"


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with models in it: two for chats, and for vectors and scores."""
    folder = tmp_path_factory.mktemp("server")
    put_models(folder / "models")
    write_tiny_reranker(folder / "models" / f"{RERANKER}.gguf")
    if EMBEDDING_MODEL.exists():
        shutil.copy(EMBEDDING_MODEL, folder / "models")
    return folder


@pytest.fixture(scope="session")
def server(data_dir: Path) -> Iterator[Server]:
    """A running server that may have one model loaded at a time."""
    with running(
        data_dir,
        DJANGO_SETTINGS_MODULE="llm_manager.settings",
        LLM_MANAGER_LOGGING_LEVEL="info",
        LLM_MANAGER_ENGINE_MAX_MODELS="1",
        LLM_MANAGER_ENGINE_N_SEQ_MAX="8",
        LLM_MANAGER_MODELS_DEFAULT_CTX="2048",
    ) as server:
        yield server


@pytest.fixture
def api(server: Server) -> Iterator[httpx.Client]:
    """An HTTP client with the key of the server."""
    with httpx.Client(
        base_url=f"http://{server.host}:{server.port}",
        headers={"Authorization": f"Bearer {server.key}"},
        timeout=150,
        # A proxy of the machine has no business between two local processes.
        trust_env=False,
    ) as client:
        yield client


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
