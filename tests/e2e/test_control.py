"""An administrator's word holds: in a real browser, over real processes and a model."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from playwright.sync_api import expect, sync_playwright

from tests.e2e.chromium import CHROMIUM, CHROMIUM_ARGS, PATIENCE_MS
from tests.e2e.conftest import Q4_0
from tests.e2e.test_serving import (
    begun,
    chat,
    content,
    processes,
    running,
    state,
    until,
)
from tests.tiny_models import write_tiny_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.whole_server import Server

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.model,
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no chromium at {CHROMIUM}"),
]

#: Longer than any other part of the tests: it does not end by itself.
LONG = 1900
#: A model that is loaded again by a stream came back within a second.
COMES_BACK_WITHIN_S = 3.0


@pytest.fixture(scope="module")
def page(server: Server, data_dir: Path) -> Iterator[Page]:
    """The admin of the running server, logged in."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=CHROMIUM_ARGS
        )
        page = browser.new_page(base_url=f"http://{server.host}:{server.port}")
        page.set_default_timeout(PATIENCE_MS)
        credentials = json.loads((data_dir / "quickstart.json").read_text())
        page.goto("/admin/")
        page.fill("#id_username", credentials["admin_user"])
        page.fill("#id_password", credentials["admin_password"])
        page.click("#login-form [type=submit]")
        page.wait_for_selector("text=Dashboard")
        yield page
        browser.close()


class LongStream:
    """A stream that is read in a thread, until it ends."""

    def __init__(self, api: httpx.Client, **fields: Any) -> None:
        self.num_chunks = 0
        self.error: dict[str, Any] | None = None
        self.finish_reason: str | None = None
        body = chat("Count up.", stream=True, ignore_eos=True, **fields)
        self._thread = threading.Thread(target=self._read, args=(api, body))
        self._thread.start()
        until(lambda: self.num_chunks > 3, "the stream has begun")

    def _read(self, api: httpx.Client, body: dict[str, Any]) -> None:
        with api.stream("POST", "/v1/chat/completions", json=body) as response:
            for line in response.iter_lines():
                if not line.startswith("data: {"):
                    continue
                event = json.loads(line[6:])
                self.error = event.get("error") or self.error
                if "choices" in event:
                    self.num_chunks += 1
                    reason = event["choices"][0]["finish_reason"]
                    self.finish_reason = reason or self.finish_reason

    def wait(self) -> None:
        self._thread.join(PATIENCE_MS / 1000)
        assert not self._thread.is_alive(), "the stream does not end"


@contextmanager
def loaded(api: httpx.Client) -> Iterator[None]:
    """The model is loaded, and nothing is running on it."""
    content(api, "Warm up.", max_tokens=1)
    until(lambda: running(api) == 0, "nothing is running")
    yield


def open_model(page: Page) -> None:
    page.goto("/admin/registry/model/")
    page.click(f"#result_list >> text={Q4_0}")
    expect(page.locator(".lm-panel >> text=Ready")).to_be_visible()


def stays_unloaded(api: httpx.Client, server: Server) -> None:
    """Check that no stream loads the model again."""
    until(lambda: state(api, Q4_0) == "unloaded", "it is unloaded")
    end = time.monotonic() + COMES_BACK_WITHIN_S
    pause = threading.Event()
    while time.monotonic() < end:
        assert state(api, Q4_0) == "unloaded"
        pause.wait(0.1)
    assert processes(server, "inference.worker.main") == []


def test_unload_now_ends_a_running_stream_and_says_who_did_it(
    page: Page, api: httpx.Client, server: Server
) -> None:
    with loaded(api):
        open_model(page)
        stream = LongStream(api, max_tokens=LONG)
        page.click("text=Unload now")
        expect(page.locator("text=asked to unload")).to_be_visible()
        stream.wait()
    assert stream.error is not None
    assert stream.error["code"] == "model_unloaded"
    assert "was unloaded by the administrator admin" in stream.error["message"]
    stays_unloaded(api, server)


def test_unload_after_requests_finishes_the_stream_and_holds(
    page: Page, api: httpx.Client, server: Server
) -> None:
    with loaded(api):
        open_model(page)
        stream = LongStream(api, max_tokens=200)
        page.click("text=Unload after requests")
        expect(page.locator("text=asked to unload")).to_be_visible()
        stream.wait()
    assert stream.error is None
    assert stream.finish_reason == "length"
    assert stream.num_chunks > 150
    stays_unloaded(api, server)


def test_a_stream_of_a_disabled_model_does_not_load_it_again(
    page: Page, api: httpx.Client, server: Server
) -> None:
    with loaded(api):
        open_model(page)
        stream = LongStream(api, max_tokens=LONG)
        page.uncheck("#id_is_enabled")
        page.click("text=Save and continue editing")
        expect(page.locator("text=Disabled; the engine was asked")).to_be_visible()
        # It would finish, but its worker dies.
        for worker in processes(server, "inference.worker.main"):
            worker.kill()
        stream.wait()
    assert stream.error is not None
    assert stream.error["code"] == "model_disabled"
    assert "was disabled by the administrator admin" in stream.error["message"]
    assert processes(server, "inference.worker.main") == []
    page.check("#id_is_enabled")
    page.click("text=Save and continue editing")
    stays_unloaded(api, server)


def test_a_request_that_comes_after_an_unload_loads_the_model(
    page: Page, api: httpx.Client
) -> None:
    with loaded(api):
        open_model(page)
        page.click("text=Unload now")
        until(lambda: state(api, Q4_0) == "unloaded", "it is unloaded")
    assert content(api, "Hello.")


def test_tokens_in_and_out_are_those_of_the_usage_and_survive_a_reload(
    page: Page, api: httpx.Client, data_dir: Path
) -> None:
    def row(columns: str) -> Any:
        with closing(sqlite3.connect(data_dir / "db.sqlite3")) as database:
            statement = (
                f"SELECT {columns} FROM inference_worker JOIN registry_model AS model "  # noqa: S608
                "ON model.id = model_id WHERE model.name = ?"
            )
            return database.execute(statement, (Q4_0,)).fetchone()

    def totals() -> tuple[int, int, int]:
        columns = "requests_total, prompt_tokens_total, output_tokens_total"
        return row(columns) or (0, 0, 0)

    written = set()

    def is_written_again() -> bool:
        written.add(row("inference_worker.heartbeat_at"))
        return len(written) > 3

    with loaded(api):
        open_model(page)
    # Requests of earlier tests are counted, too, in the row a second later.
    until(is_written_again, "the row is written again")
    before = totals()
    used = [0, 0]
    question = "Name the planets of the solar system, please. " * 8
    for fields in ({}, {}, {"n": 3}):
        answer = api.post(
            "/v1/chat/completions", json=chat(question, max_tokens=8, **fields)
        ).json()
        used[0] += answer["usage"]["prompt_tokens"]
        used[1] += answer["usage"]["completion_tokens"]
    sequences = 1 + 1 + 3
    expected = (before[0] + sequences, before[1] + used[0], before[2] + used[1])
    until(lambda: totals() == expected, f"the row has {expected}")
    shown = f"{expected[1]:,} / {expected[2]:,}"
    expect(page.locator(f".lm-panel >> text={shown}")).to_be_visible()

    page.fill("#id_n_ctx", "1024")
    page.click("text=Save and continue editing")
    try:
        expect(page.locator("#differences >> text=in force: ")).to_be_visible()
        expect(page.locator("#differences >> text=saved: 1,024")).to_be_visible()
        stream = LongStream(api, max_tokens=400)
        page.click("text=Reload now")
        expect(page.locator("text=asked to reload")).to_be_visible()
        stream.wait()
        # It paused, and went on in the worker with the new context.
        assert stream.error is None
        assert stream.finish_reason == "length"
        expect(page.locator("#differences")).to_have_count(0)
        expect(page.locator(".lm-panel dd >> text=1,024 ×")).to_be_visible()
        requests, tokens = expected[0] + 2, expected[2] + 400
        # The token that was being computed when the stream moved is computed twice.
        until(
            lambda: totals()[0] == requests and totals()[2] - tokens in (0, 1),
            f"the stream is counted in both workers, {tokens} tokens in all",
        )
    finally:
        page.fill("#id_n_ctx", "")
        page.click("text=Save and continue editing")
        page.click("text=Reload after requests")
        expect(page.locator("#differences")).to_have_count(0)


def test_a_model_that_cannot_be_loaded_unloads_none_and_what_would_go_is_said(
    page: Page, api: httpx.Client, server: Server, data_dir: Path
) -> None:
    # One that a scan takes for a model, and llama.cpp does not.
    broken = data_dir / "models" / "broken.gguf"
    write_tiny_model("llama", broken)
    data = broken.read_bytes()
    broken.write_bytes(data.replace(b"blk.0.attn_q.weight", b"blk.0.attn_x.weight"))
    try:
        page.goto("/admin/registry/model/")
        page.click("text=Scan now")
        page.goto("/admin/registry/model/")
        with loaded(api):
            (healthy,) = processes(server, "inference.worker.main")
            page.click("#result_list >> text=broken")
            expect(page.locator("#load-effect")).to_contain_text(
                f"makes room by unloading {Q4_0}"
            )
            page.click(".lm-panel button:text-is('Load')")
            expect(page.locator(".lm-panel >> text=not found").first).to_be_visible()
            expect(page.locator(".lm-panel >> text=Failed").first).to_be_visible()
            body = {"model": "broken", "prompt": "Hello", "max_tokens": 1}
            answer = api.post("/v1/completions", json=body)
            assert answer.status_code == 503
            assert answer.json()["error"]["code"] == "model_load_failed"
            assert healthy.is_running()
            assert processes(server, "inference.worker.main") == [healthy]
    finally:
        broken.unlink()
        page.goto("/admin/registry/model/")
        page.click("text=Scan now")


def new_key(page: Page, name: str) -> str:
    page.goto("/admin/accounts/apikey/add/")
    page.fill("#id_name", name)
    page.check("#id_all_models")
    with page.expect_navigation():
        page.click("text=Save")
    return page.locator("#secret").inner_text()


def test_revoking_a_key_ends_its_requests_and_no_others(
    page: Page, api: httpx.Client, server: Server
) -> None:
    with loaded(api):
        secret = new_key(page, "laptop")
        page.goto("/admin/accounts/apikey/")
        page.click("#result_list >> text=laptop")
        page.click("text=Revoke…")
        with (
            httpx.Client(
                base_url=api.base_url,
                headers={"Authorization": f"Bearer {secret}"},
                timeout=150,
                trust_env=False,
            ) as other,
            ThreadPoolExecutor(1) as pool,
        ):
            kept = LongStream(api, max_tokens=LONG)
            stream = LongStream(other, max_tokens=LONG)
            body = chat("Count up.", ignore_eos=True, max_tokens=LONG)
            whole = pool.submit(other.post, "/v1/chat/completions", json=body)
            # On a slow machine the key's second request may wait for its share.
            until(lambda: begun(api) == 3, "all three are in the model's hands")
            page.click("text=Revoke permanently")
            stream.wait()
            answer = whole.result()
        assert stream.num_chunks < LONG
        assert stream.error is not None
        assert stream.error["code"] == "key_revoked"
        assert "was revoked by the administrator admin" in stream.error["message"]
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "key_revoked"
        assert kept.error is None
        until(lambda: running(api) == 1, "its slots are free")
        page.goto("/admin/registry/model/")
        page.click(f"#result_list >> text={Q4_0}")
        page.click("text=Unload now")
        kept.wait()
