"""Load and unload from the list and from a model's page, which stay where they are."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from inference.models import Worker, WorkerState
from tests.e2e.chromium import CHROMIUM
from tests.factories import make_model, make_node

if TYPE_CHECKING:
    from playwright.sync_api import Page
    from pytest_django.live_server_helper import LiveServer

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no chromium at {CHROMIUM}"),
]


@pytest.mark.parametrize("where", ["list", "page"])
def test_a_model_is_loaded_with_progress_and_unloaded_without_leaving_the_page(
    page: Page, live_server: LiveServer, where: str
) -> None:
    # The page may take long on a busy machine: the node stays alive meanwhile.
    alive = timezone.now() + timedelta(hours=1)
    node, model = make_node(heartbeat_at=alive), make_model("tiny")
    path = "" if where == "list" else f"{model.pk}/change/"
    page.goto(f"{live_server.url}/admin/registry/model/{path}")
    page.evaluate("window.stayed = true")
    state = page.locator("[data-live-key^=state-], [data-live-key=model]").first

    state.get_by_role("button", name="Load").click()
    expect(page.locator("#messages")).to_contain_text("was asked to load tiny")
    expect(state).to_contain_text("Requested")
    began = timezone.now() - timedelta(seconds=30)
    Worker.objects.update(
        node=node, state=WorkerState.LOADING, progress=0.5, last_used_at=began
    )
    expect(state).to_contain_text("Loading 50 %")
    expect(state).to_contain_text("s left")
    Worker.objects.update(state=WorkerState.READY, progress=1, n_ctx=512)
    expect(state).to_contain_text("Ready")

    state.get_by_role("button", name="Unload").first.click()
    expect(page.locator("#messages")).to_contain_text("was asked to unload tiny")
    expect(state).to_contain_text("Unloading")
    Worker.objects.all().delete()
    expect(state).to_contain_text("Unloaded")
    assert page.evaluate("window.stayed")


def test_a_load_that_makes_room_asks_first(page: Page, live_server: LiveServer) -> None:
    node = make_node(max_models=1, heartbeat_at=timezone.now() + timedelta(hours=1))
    Worker.objects.create(
        model=make_model("old"), node=node, state=WorkerState.READY, progress=1
    )
    make_model("new")
    page.goto(f"{live_server.url}/admin/registry/model/")
    page.locator("tr", has_text="new").get_by_role("button", name="Load").click()
    expect(page.locator("h2", has_text="Load this model?")).to_be_visible()
    page.get_by_role("button", name="Load and make room").click()
    expect(page.locator("#messages")).to_contain_text("was asked to load new")
    assert Worker.objects.filter(model__name="new").exists()
