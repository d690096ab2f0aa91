"""/docs in a real browser, before the real server: read, let in, and tried out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.e2e.chromium import CHROMIUM, CHROMIUM_ARGS, PATIENCE_MS
from tests.e2e.conftest import Q4_0

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from tests.whole_server import Server

pytestmark = [
    pytest.mark.browser,
    pytest.mark.e2e,
    pytest.mark.model,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no chromium at {CHROMIUM}"),
]


@pytest.fixture
def page(server: Server) -> Iterator[Page]:
    """/docs with the key entered; afterwards, that all of it came from the server."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=CHROMIUM_ARGS
        )
        page = browser.new_page(viewport={"width": 1280, "height": 1600})
        errors: list[str] = []
        hosts: set[str] = set()
        page.on("pageerror", lambda error: errors.append(str(error)))
        # What the page's own policy forbids is an error on its console.
        page.on(
            "console",
            lambda entry: errors.append(entry.text) if entry.type == "error" else None,
        )
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        try:
            page.goto(f"http://{server.host}:{server.port}/")
            page.click("text=API documentation")
            let_in(page, server.key)
            yield page
        finally:
            browser.close()
    assert errors == []
    # Nothing from elsewhere; pictures within the stylesheet have no host.
    assert hosts - {""} == {f"{server.host}:{server.port}"}


def test_the_first_example_runs_unchanged(page: Page) -> None:
    operation = page.locator("#operations-Completions-createChatCompletion")
    operation.locator(".opblock-summary-control").click()
    operation.locator(".try-out__btn").click()
    operation.locator(".execute").click()
    answer = operation.locator(".live-responses-table .response")
    expect(answer).to_contain_text("chat.completion")
    expect(answer.locator(".response-col_status")).to_contain_text("200")


def test_a_stream_is_asked_for_and_read_on_the_page(page: Page) -> None:
    ask_for_a_stream(page)


def let_in(page: Page, key: str) -> None:
    """Tell the page the key, as a person does."""
    page.locator(".auth-wrapper .btn.authorize").click()
    page.locator(".auth-container input").fill(key)
    page.locator(".auth-container button[type=submit]").click()
    page.locator(".auth-container .btn-done").click()


def ask_for_a_stream(page: Page) -> None:
    """Try a chat out; the page shows the stream to its end."""
    operation = page.locator("#operations-Completions-createChatCompletion")
    operation.locator(".opblock-summary-control").click()
    operation.locator(".try-out__btn").click()
    body = {
        "model": Q4_0,
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 4,
        "stream": True,
    }
    operation.locator("textarea.body-param__text").fill(json.dumps(body))
    operation.locator(".execute").click()
    answer = operation.locator(".live-responses-table")
    expect(answer).to_contain_text("chat.completion.chunk")
    expect(answer).to_contain_text("[DONE]")
    expect(answer).to_contain_text("text/event-stream")
