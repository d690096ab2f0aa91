"""The admin in a real browser: what Django's test client cannot see."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from accounts.models import ApiKey
from inference.models import Worker, WorkerState
from registry.models import Model
from tests.e2e.chromium import CHROMIUM
from tests.factories import make_model, make_node, make_worker

if TYPE_CHECKING:
    from playwright.sync_api import Page
    from pytest_django.live_server_helper import LiveServer

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no chromium at {CHROMIUM}"),
]

SECRET = re.compile(r"sk-llmm-[0-9a-f]{12}-[\w-]{43}")


def test_a_setting_is_edited_and_saved(page: Page, live_server: LiveServer) -> None:
    model = make_model("llama-3.1-8b", chat_template="{{ messages }}")
    page.goto(f"{live_server.url}/admin/registry/model/")
    page.click("text=llama-3.1-8b")
    page.fill("#id_n_ctx", "8192")
    page.click("text=Tokenizer & template")
    expect(page.locator("pre.lm-pre", has_text="{{ messages }}")).to_be_visible()
    page.click("text=Save and continue editing")
    expect(page.locator("text=was changed successfully")).to_be_visible()
    expect(page.locator("#id_n_ctx")).to_have_value("8192")
    assert Model.objects.get(pk=model.pk).n_ctx == 8192


def test_a_key_is_made_shown_once_and_revoked(
    page: Page, live_server: LiveServer
) -> None:
    make_model("llama-3.1-8b")
    make_model("other")
    page.goto(f"{live_server.url}/admin/accounts/apikey/add/")
    page.fill("#id_name", "Search")
    page.fill(".select2-search__field", "llama")
    page.click(".select2-results__option >> text=llama-3.1-8b")
    page.click("text=Save")
    shown = page.locator("#secret").inner_text()
    assert SECRET.fullmatch(shown)
    key = ApiKey.objects.get()
    assert [model.name for model in key.allowed_models.all()] == ["llama-3.1-8b"]

    page.reload()
    expect(page.locator("text=This form was already submitted")).to_be_visible()
    assert shown not in page.content()
    assert ApiKey.objects.count() == 1

    page.goto(f"{live_server.url}/admin/accounts/apikey/")
    page.click("#result_list >> text=Search")
    assert shown not in page.content()
    page.click("text=Revoke…")
    page.click("text=Revoke permanently")
    expect(page.locator("text=cannot be activated again")).to_be_visible()
    assert not ApiKey.objects.get().is_active


@pytest.mark.parametrize("is_allowed", [True, False])
def test_a_secret_is_copied_or_selected(
    page: Page, live_server: LiveServer, is_allowed: bool
) -> None:
    if is_allowed:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    else:
        # What a page without TLS and any other denied page has in common.
        page.add_init_script("delete Navigator.prototype.clipboard")
    page.goto(f"{live_server.url}/admin/accounts/apikey/add/")
    page.fill("#id_name", "Search")
    page.check("#id_all_models")
    # Until the page has loaded, its script does not listen to the button.
    with page.expect_navigation():
        page.click("text=Save")
    page.click("[data-copy]")
    shown = page.locator("#secret").inner_text()
    if is_allowed:
        expect(page.locator("[data-copy-status]")).to_have_text("Copied.")
        assert page.evaluate("navigator.clipboard.readText()") == shown
    else:
        expect(page.locator("[data-copy-status]")).to_contain_text("Ctrl+C")
        assert page.evaluate("getSelection().toString()") == shown


def test_engine_page_follows_the_workers(page: Page, live_server: LiveServer) -> None:
    worker = make_worker(
        make_model("llama-3.1-8b"),
        # Its heartbeat must outlast the test.
        node := make_node(),
        state=WorkerState.LOADING,
        progress=0.1,
    )
    type(node).objects.update(heartbeat_at="2999-01-01T00:00:00Z")
    page.goto(f"{live_server.url}/admin/inference/worker/")
    expect(page.locator("text=Loading 10 %")).to_be_visible()
    page.evaluate("window.isSamePage = true")

    rows = Worker.objects.filter(pk=worker.pk)
    rows.update(progress=0.42)
    expect(page.locator("text=Loading 42 %")).to_be_visible()
    rows.update(state=WorkerState.READY, n_ctx=8192, n_seq_max=4, running=3)
    expect(page.locator("text=8,192 \u00d7 4")).to_be_visible()
    rows.update(state=WorkerState.FAILED, error="<img src=x onerror=alert(1)>")
    expect(page.locator("pre", has_text="<img src=x")).to_be_visible()
    assert page.evaluate("window.isSamePage")

    page.focus("text=Dismiss")
    rows.update(restarts=7)
    expect(page.locator("text=7 restarts")).to_be_visible()
    assert page.evaluate("document.activeElement.textContent") == "Dismiss"
    page.click("text=Dismiss")
    expect(page.locator("text=No model is loaded.")).to_be_visible()
    assert not Worker.objects.exists()


def test_list_and_model_page_follow_the_workers(
    page: Page, live_server: LiveServer
) -> None:
    node = make_node(heartbeat_at="2999-01-01T00:00:00Z")
    model = make_model("llama-3.1-8b")
    page.goto(f"{live_server.url}/admin/registry/model/")
    expect(page.locator("#result_list >> text=Unloaded")).to_be_visible()
    worker = make_worker(model, node, state=WorkerState.LOADING, progress=0.5)
    expect(page.locator("#result_list >> text=Loading 50 %")).to_be_visible()

    page.goto(f"{live_server.url}/admin/registry/model/{model.pk}/change/")
    page.fill("#id_n_ctx", "2048")
    Worker.objects.filter(pk=worker.pk).update(state=WorkerState.READY)
    expect(page.locator(".lm-panel >> text=Ready")).to_be_visible()
    expect(page.locator("#id_n_ctx")).to_have_value("2048")


def test_nothing_is_fetched_in_a_hidden_tab(
    page: Page, live_server: LiveServer
) -> None:
    page.clock.install()
    page.goto(f"{live_server.url}/admin/inference/worker/")
    hide = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true});"
    tell = "document.dispatchEvent(new Event('visibilitychange'));"
    page.evaluate(hide % "true" + tell)
    expect(page.locator("[data-live-status]")).to_have_text("paused")
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url))
    page.clock.run_for(60_000)
    assert fetched == []
    page.evaluate(hide % "false" + tell)
    expect(page.locator("[data-live-status]")).to_have_text("live")
    assert fetched


def test_an_ended_session_is_reported(page: Page, live_server: LiveServer) -> None:
    page.goto(f"{live_server.url}/admin/inference/worker/")
    page.context.clear_cookies()
    expect(page.locator("[data-live-status]")).to_have_text("signed out")


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (390, "dark"),
        (1280, "light"),
        pytest.param(390, "light", marks=pytest.mark.long),
        pytest.param(1280, "dark", marks=pytest.mark.long),
    ],
)
def test_no_page_is_wider_than_the_screen(
    page: Page, live_server: LiveServer, width: int, scheme: str
) -> None:
    name = "a-model-with-a-rather-long-name-" * 6
    model = make_model(name, title=name, metadata={"x" * 200: "y" * 900})
    make_worker(model, make_node("node" * 40), n_ctx=1, n_seq_max=1, error="z" * 900)
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    for path in (
        "",
        "registry/model/",
        f"registry/model/{model.pk}/change/",
        "registry/scanrun/",
        "inference/worker/",
        "accounts/apikey/",
        "accounts/apikey/add/",
        "auth/user/add/",
        "auth/group/add/",
    ):
        page.goto(f"{live_server.url}/admin/{path}")
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.evaluate("document.documentElement.classList.contains('dark')") is (
            scheme == "dark"
        )
