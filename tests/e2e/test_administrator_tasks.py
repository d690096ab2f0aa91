"""What administrators do often takes few clicks, and took no minute when measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.e2e import administrator_tasks as tasks
from tests.e2e.chromium import CHROMIUM, PATIENCE_MS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.administrator_tasks import Stage, Task

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.model,
    pytest.mark.browser,
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no chromium at {CHROMIUM}"),
]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with tasks.stage_in(tmp_path_factory.mktemp("tasks")) as stage:
        tasks.signed_in(stage)
        yield stage


@pytest.mark.parametrize("task", tasks.TASKS, ids=lambda task: task.name)
def test_no_task_takes_more_than_five_clicks(stage: Stage, task: Task) -> None:
    done = tasks.done(stage, task)
    assert 0 < done.clicks <= tasks.MAX_CLICKS


def test_who_is_handed_the_link_sees_the_admin_and_no_button(stage: Stage) -> None:
    tasks.done(stage, tasks.TASKS[-1])
    link = stage.page.locator("#secret").inner_text()
    colleague = stage.browser.new_context()
    page = colleague.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(link)
    page.fill("[name=username]", "anna")
    page.fill("[name=password1]", "correct horse battery")
    page.fill("[name=password2]", "correct horse battery")
    page.click("#invited [type=submit]")
    page.wait_for_selector("text=Dashboard")
    page.goto(f"{stage.url}/admin/registry/model/")
    expect(page.locator("tr", has_text=tasks.MODEL)).to_be_visible(timeout=PATIENCE_MS)
    for name in ("Load", "Unload", "Scan now"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)
    colleague.close()


def test_the_page_has_every_task_and_none_took_a_minute() -> None:
    page = tasks.PAGE.read_text()
    table = page.partition(tasks.BEGIN)[2].partition(tasks.END)[0]
    for task in tasks.TASKS:
        row = table.partition(f"| {task.name} | {task.way} |")[2].partition("\n")[0]
        clicks, seconds = map(float, row.strip(" |").split(" | "))
        assert clicks <= tasks.MAX_CLICKS
        assert seconds < tasks.MAX_S
