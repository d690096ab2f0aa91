"""Take the pictures of docs/img: ``python -m tests.e2e.screenshots [folder]``.

Makes a database of its own with demonstration data, serves it and drives
Chromium over it; for the playground, a server with the sample model. ``--all`` adds the
dark and the narrow versions of all pages.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[2]
WIDE = (1280, 800)
NARROW = (390, 844)


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", default=ROOT / "docs/img", type=Path)
    parser.add_argument("--all", action="store_true", help="dark and narrow too")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        data_dir = stack.enter_context(tempfile.TemporaryDirectory())
        _set_up(data_dir)
        from tests.e2e.demo_downloads import demo_downloads
        from tests.e2e.demo_elsewhere import demo_elsewhere
        from tests.e2e.demo_model_page import demo_model_page
        from tests.e2e.demo_requests import demo_redis, demo_requests, demo_running

        demo_requests()
        demo_downloads()
        demo_model_page()
        if options.all:
            demo_elsewhere()
        stack.enter_context(demo_redis(data_dir))
        stack.enter_context(demo_running())
        url = stack.enter_context(_server())
        _shoot(url, options.folder, _tour, everything=options.all)
        _shoot(url, options.folder, _tour_model, everything=True)
    shoot_playground(options.folder, everything=options.all)


def shoot_playground(folder: Path, *, everything: bool) -> None:
    """Take the pictures of the playground, where two models answer."""
    from tests.whole_server import put_models, running

    with tempfile.TemporaryDirectory() as data_dir:
        put_models(Path(data_dir) / "models")
        with running(Path(data_dir)) as server:
            file = Path(data_dir) / "quickstart.json"
            password = json.loads(file.read_text())["admin_password"]
            _shoot(
                f"http://{server.host}:{server.port}",
                folder,
                partial(_tour_playground, password=password),
                everything=everything,
            )


def _set_up(data_dir: str) -> None:
    os.environ["LLM_MANAGER_DATA_DIR"] = data_dir
    (Path(data_dir) / "models").mkdir()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llm_manager.settings")
    sys.path[:0] = [str(ROOT / "platform"), str(ROOT)]
    import django

    django.setup()
    from django.contrib.auth.models import User
    from django.core.management import call_command

    from tests.e2e.demo import populate

    call_command("migrate", verbosity=0)
    admin = User.objects.create_superuser(
        "admin", "admin@example.org", "correct horse", first_name="Ada"
    )
    populate(admin)


@contextmanager
def _server() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = [sys.executable, "-m", "daphne", "-v", "0", "-p", str(port)]
    daphne = subprocess.Popen(
        [*command, "llm_manager.web.asgi:application"], env=environment
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        daphne.terminate()
        daphne.wait()


def _shoot(
    url: str, folder: Path, tour: Callable[..., None], *, everything: bool
) -> None:
    from playwright.sync_api import sync_playwright

    from tests.e2e.chromium import CHROMIUM, CHROMIUM_ARGS

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=CHROMIUM_ARGS
        )
        for scheme in ("light", "dark") if everything else ("light",):
            for size in (WIDE, NARROW) if everything else (WIDE,):
                page = browser.new_page(
                    viewport={"width": size[0], "height": size[1]},
                    color_scheme="dark" if scheme == "dark" else "light",
                )
                suffix = "-dark" if scheme == "dark" else ""
                suffix += "-narrow" if size == NARROW else ""
                tour(page, url, folder, suffix, everything=everything)
                page.close()
        browser.close()


def _tour(page: Page, url: str, folder: Path, suffix: str, *, everything: bool) -> None:
    def shoot(name: str, *, full: bool = everything) -> None:
        page.wait_for_load_state("networkidle")
        page.screenshot(path=folder / f"{name}{suffix}.png", full_page=full)

    _wait_for(page, url)
    if everything:
        shoot("start")
    page.goto(f"{url}/admin/login/")
    if everything:
        shoot("login")
    page.fill("#id_username", "admin")
    page.fill("#id_password", "correct horse")
    page.click("[type=submit]")
    page.goto(f"{url}/admin/?period=7d&by=model")
    shoot("dashboard")
    page.locator("#usage").screenshot(path=folder / f"charts{suffix}.png")
    page.goto(f"{url}/admin/inference/enginenode/")
    shoot("health")
    page.goto(f"{url}/admin/registry/download/")
    shoot("downloads")
    page.goto(f"{url}/admin/registry/model/")
    shoot("models")
    page.click("text=llama-3.1-8b-instruct")
    shoot("model")
    if everything:
        page.fill("#id_n_ctx", "4096")
        page.wait_for_selector("#lm-estimate b")
        shoot("model-estimate", full=False)
        page.click("text=Tokenizer & template")
        shoot("model-template")
        page.click("text=All metadata")
        shoot("model-metadata")
    page.goto(f"{url}/admin/inference/worker/")
    shoot("engine")
    page.goto(f"{url}/admin/inference/runningrequest/")
    shoot("running")
    page.click("text=Cancel… >> nth=0")
    if everything:
        shoot("running-cancel")
    page.goto(f"{url}/admin/accounts/usagerecord/")
    page.click("#result_list a >> nth=0")
    shoot("request")
    page.goto(f"{url}/admin/accounts/apikey/add/")
    if everything:
        shoot("key-add")
    page.fill("#id_name", "Documentation search")
    page.click("text=Save")
    shoot("key")
    if everything:
        for name, path in (
            ("keys", "accounts/apikey/"),
            ("key-view", "accounts/apikey/1/change/"),
            ("key-revoke", "accounts/apikey/1/revoke/"),
            ("key-capture", "accounts/apikey/1/capture/"),
            ("key-revoked", "accounts/apikey/4/change/"),
            ("scans", "registry/scanrun/"),
            ("scan", "registry/scanrun/1/change/"),
            ("users", "auth/user/"),
            ("user", "auth/user/1/change/"),
            ("model-chat-template", "registry/model/2/template/"),
            ("model-failed", "registry/model/5/change/"),
            ("model-history", "registry/model/2/history/"),
            ("model-delete", "registry/model/2/delete/"),
            ("node-files", "inference/enginenode/1/files/"),
            ("node-drain", "inference/enginenode/1/drain/"),
            ("upstreams", "registry/upstream/"),
            ("upstream", "registry/upstream/2/change/"),
            ("upstream-models", "registry/upstreammodel/"),
            ("routes", "registry/route/"),
            ("route-add", "registry/route/add/"),
            ("refused", "no/such/page/"),
        ):
            page.goto(f"{url}/admin/{path}")
            shoot(name)


def _tour_model(
    page: Page, url: str, folder: Path, suffix: str, *, everything: bool
) -> None:
    """Take the parts of a model's page that change while one looks: in all versions."""
    if suffix == "-dark-narrow":
        return
    _sign_in(page, url)
    page.goto(f"{url}/admin/registry/model/")
    page.click("text=llama-3.1-8b-instruct")
    page.wait_for_load_state("networkidle")
    # High enough that the bar of the form's buttons is below it.
    width = page.evaluate("innerWidth")
    page.set_viewport_size({"width": width, "height": 3000})
    panel = page.locator(".lm-panel").bounding_box()
    speed = page.locator("#speed").bounding_box()
    assert panel is not None
    assert speed is not None
    loads: Any = {**panel, "height": speed["y"] - panel["y"]}
    page.screenshot(path=folder / f"model-loads{suffix}.png", clip=loads)
    page.locator("#speed").screenshot(path=folder / f"model-speed{suffix}.png")


def _sign_in(page: Page, url: str) -> None:
    page.goto(f"{url}/admin/login/")
    page.fill("#id_username", "admin")
    page.fill("#id_password", "correct horse")
    page.click("[type=submit]")
    page.wait_for_url(f"{url}/admin/")


def _tour_playground(
    page: Page, url: str, folder: Path, suffix: str, *, everything: bool, password: str
) -> None:
    page.set_default_timeout(120_000)
    _wait_for(page, url)
    page.goto(f"{url}/admin/login/")
    page.fill("#id_username", "admin")
    page.fill("#id_password", password)
    page.click("[type=submit]")
    page.wait_for_url(f"{url}/admin/")
    page.goto(f"{url}/admin/playground/")
    page.wait_for_selector("#playground[data-ready]")
    parameters = page.locator("summary", has_text="Parameters")
    if not page.locator("[data-parameter=temperature]").is_visible():
        parameters.click()
    page.fill("[data-parameter=temperature]", "0")
    page.fill("[data-parameter=max_tokens]", "28")
    page.click("#pg-compare")
    page.fill("#pg-text", "Why is the sky blue?")
    page.click("#pg-send")
    for pane in page.locator(".pg-pane").all():
        pane.locator(".pg-facts >> text=Completion").wait_for()
    page.screenshot(path=folder / f"playground{suffix}.png", full_page=everything)


def _wait_for(page: Page, url: str) -> None:
    from playwright.sync_api import Error

    for _ in range(60):
        try:
            page.goto(url)
        except Error:
            page.wait_for_timeout(500)
        else:
            return
    raise SystemExit(f"{url} does not answer")


if __name__ == "__main__":
    main()
