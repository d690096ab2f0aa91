"""A model is pulled by a whole server: in a browser, and killed twice meanwhile."""

from __future__ import annotations

import hashlib
import json
import signal
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest
from playwright.sync_api import expect, sync_playwright

from tests.e2e.chromium import CHROMIUM, CHROMIUM_ARGS, PATIENCE_MS
from tests.hub_fixtures import REPO
from tests.registry.hub.hub_server import hub_server
from tests.tiny_models import KINDS, write_tiny_model
from tests.whole_server import running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.model, pytest.mark.long]

_PATIENCE_S = 90.0


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + _PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def _has(part: Path, size: int) -> bool:
    return part.exists() and part.stat().st_size >= size


def _is_over(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def child(server: int, command: str) -> psutil.Process | None:
    """Return the process of a management command below a server."""
    for process in psutil.Process(server).children(recursive=True):
        try:
            if command in process.cmdline():
                return process
        except psutil.Error:
            continue
    return None


def test_a_pull_goes_on_after_its_process_and_its_engine_were_killed(
    tmp_path: Path,
) -> None:
    model = tmp_path / "pulled-Q4_0.gguf"
    write_tiny_model(next(iter(KINDS)), model)
    data = model.read_bytes()
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    third = len(data) // 3
    with hub_server() as hub:
        hub.repos[REPO] = {model.name: data}
        hub.holds = [third, third]
        settings = {
            "HF_ENDPOINT": hub.url,
            "LLM_MANAGER_DOWNLOADS_PRIVATE_ADDRESSES": "true",
        }
        with (
            running(data_dir, **settings) as server,
            httpx.Client(
                base_url=f"http://{server.host}:{server.port}",
                headers={"Authorization": f"Bearer {server.key}"},
                timeout=_PATIENCE_S,
            ) as api,
        ):
            answer = api.post("/v1/models", json={"model": REPO})
            assert answer.status_code == 202, answer.text
            path = f"/v1/downloads/{answer.json()['id']}"
            part = data_dir / "models" / ".downloads"
            part /= f"{hashlib.sha256(data).hexdigest()}.part"
            for command, here in (("run_downloads", third), ("run_engine", 2 * third)):
                assert hub.held.acquire(timeout=_PATIENCE_S)
                until(partial(_has, part, here))
                process = child(server.pid, command)
                assert process is not None
                # Who downloads ends with the engine, even if that is killed.
                downloads = child(server.pid, "run_downloads")
                assert downloads is not None
                process.send_signal(signal.SIGKILL)
                until(partial(_is_over, downloads))
            hub.go_on.set()
            with api.stream("GET", f"{path}/events") as events:
                lines = [line for line in events.iter_lines() if line]
            assert lines[-1] == "data: [DONE]"
            found = api.get(path).json()
            assert (found["state"], found["error"]) == ("done", None)
            assert found["models"] == ["pulled-Q4_0"]
            ranges = [each.headers.get("Range") for each in hub.requests("store")]
            assert ranges[:3] == [None, f"bytes={third}-", f"bytes={2 * third}-"]
            file = data_dir / "models" / REPO / model.name
            assert file.read_bytes() == data

            body = {"model": "pulled-Q4_0", "prompt": "Hello", "max_tokens": 4}
            answer = api.post("/v1/completions", json=body)
            assert answer.status_code == 200, answer.text

            loaded = api.delete("/v1/models/pulled-Q4_0?confirm=true")
            assert loaded.json()["error"]["code"] == "deletion_refused"
            gone = until(
                lambda: api.delete("/v1/models/pulled-Q4_0?confirm=true").is_success
            )
            assert gone
            assert not file.exists()
    log = (data_dir / "log").read_text()
    assert "s3cret" not in log


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no chromium at {CHROMIUM}")
def test_a_model_is_got_in_the_admin_with_its_progress_in_place(tmp_path: Path) -> None:
    model = tmp_path / "clicked-Q4_0.gguf"
    write_tiny_model(next(iter(KINDS)), model)
    data = model.read_bytes()
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    with hub_server() as hub, sync_playwright() as playwright:
        hub.repos[REPO] = {model.name: data, "../evil.gguf": data}
        hub.holds = [len(data) // 2]
        settings = {
            "HF_ENDPOINT": hub.url,
            "LLM_MANAGER_DOWNLOADS_PRIVATE_ADDRESSES": "true",
        }
        with running(data_dir, **settings) as server:
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
            page.click("text=Downloads")
            page.fill("#lm-source", REPO)
            page.click("text=Show files")
            expect(page.get_by_text("1 file cannot be downloaded")).to_be_visible()
            page.get_by_role("button", name=f"Download {model.name}").click()
            table = page.get_by_role("table", name="Downloads")
            bar = table.get_by_role("progressbar")
            expect(bar).to_have_attribute("value", "50", timeout=PATIENCE_MS)
            hub.go_on.set()
            # The page says so by itself.
            link = table.get_by_role("link", name="clicked-Q4_0")
            expect(link).to_be_visible(timeout=PATIENCE_MS)
            link.click()
            expect(page.get_by_text("Delete with files")).to_be_visible()
            browser.close()
    assert (data_dir / "models" / REPO / model.name).read_bytes() == data
