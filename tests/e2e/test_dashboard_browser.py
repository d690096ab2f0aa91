"""The dashboard in a real browser: charts that are drawn, text that can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from accounts.usage.ingestion import store
from inference.models import Worker, WorkerState
from tests.accounts.usage.test_ingestion import entry
from tests.e2e.chromium import CHROMIUM
from tests.e2e.test_admin_looks import CONTRAST, PHONE, READABLE
from tests.factories import make_model, make_node, make_worker

if TYPE_CHECKING:
    from playwright.sync_api import Page
    from pytest_django.live_server_helper import LiveServer

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no chromium at {CHROMIUM}"),
]
#: Returns how many pixels of a canvas have a colour, not only a shade of grey.
COLOURED = """canvas => {
  const {width, height} = canvas;
  const data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  let count = 0;
  for (let i = 0; i < data.length; i += 4) {
    const [r, g, b, a] = data.slice(i, i + 4);
    if (a > 128 && Math.max(r, g, b) - Math.min(r, g, b) > 40) count++;
  }
  return count;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_charts_are_drawn_by_this_server_alone(
    page: Page, live_server: LiveServer, scheme: str
) -> None:
    store(
        [
            entry(
                model_id=n, model_name=f"m{n}", first_token_ms=90, tokens_per_second=9
            )
            for n in (1, 1, 2)
        ]
    )
    make_worker(make_model(), make_node(), state=WorkerState.FAILED, error="no tensor")
    hosts = set()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(f"{live_server.url}/admin/")
    page.wait_for_load_state("load")
    charts = page.locator("#usage canvas")
    expect(charts).to_have_count(6)
    # Two of them have bars: there were no errors.
    for number in (0, 2):
        assert charts.nth(number).evaluate(COLOURED) > 50
    assert hosts == {urlsplit(live_server.url).netloc}
    for text in (
        *(".lm-finding-danger .lm-muted", ".lm-finding-text", "#usage summary"),
        *(".lm-switch a[aria-current]", ".lm-switch a:not([aria-current])"),
    ):
        assert page.locator(text).first.evaluate(CONTRAST) >= READABLE, text
    page.get_by_role("link", name="By key").press("Enter")
    expect(page.get_by_role("link", name="By key")).to_have_attribute(
        "aria-current", "true"
    )
    page.locator("#usage summary").first.press("Enter")
    expect(page.get_by_role("columnheader", name="mine").first).to_be_visible()


def test_a_failed_load_is_tried_again_from_a_phone(
    page: Page, live_server: LiveServer
) -> None:
    worker = make_worker(
        make_model("broken"),
        make_node(),
        state=WorkerState.FAILED,
        error="no tensor " * 40,
    )
    page.set_viewport_size(PHONE)
    page.goto(f"{live_server.url}/admin/")
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= PHONE["width"]
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("text=The engine was asked to load broken")).to_be_visible()
    assert Worker.objects.get(pk=worker.pk).state == WorkerState.REQUESTED
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)
