"""What runs is seen and ended by an administrator: on the page, by API and verb."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from llm_manager import cli
from tests.e2e.chromium import CHROMIUM
from tests.e2e.conftest import Q4_0
from tests.e2e.test_control import LONG, LongStream, loaded
from tests.e2e.test_control import page as page
from tests.e2e.test_serving import chat, running, until

if TYPE_CHECKING:
    import httpx
    from playwright.sync_api import Page

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.model,
    pytest.mark.browser,
    pytest.mark.long,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no chromium at {CHROMIUM}"),
]

RUNNING = "/v1/admin/requests"


#: Places of the model, and one more.
_MORE_THAN_PLACES = 64


def all_of(api: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get(RUNNING).json()["data"]
    return found


def cancelled(api: httpx.Client, request: dict[str, Any]) -> int:
    return api.post(f"{RUNNING}/{request['id']}/cancel").status_code


def listed(api: httpx.Client, state: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get(RUNNING, params={"state": state}).json()[
        "data"
    ]
    return found


def test_a_stream_is_seen_and_cancelled_on_the_page_and_another_one_goes_on(
    page: Page, api: httpx.Client
) -> None:
    with loaded(api):
        page.goto("/admin/")
        kept = LongStream(api, max_tokens=LONG)
        stream = LongStream(api, max_tokens=LONG)
        page.click("text=Running")
        rows = page.locator(".lm-running tbody tr")
        expect(rows).to_have_count(2)
        expect(rows.nth(1)).to_contain_text("decodes")
        expect(rows.nth(1)).to_contain_text(Q4_0)
        before = rows.nth(1).locator("td").nth(4).inner_text()
        # It refreshes itself.
        expect(rows.nth(1).locator("td").nth(4)).not_to_have_text(before)
        rows.nth(1).locator("text=Cancel…").click()
        page.click("text=Cancel the request")
        expect(page.locator("text=The request is cancelled")).to_be_visible()
        stream.wait()
        assert stream.num_chunks < LONG
        assert stream.error is not None
        assert stream.error["code"] == "request_cancelled"
        assert stream.error["message"] == (
            "The administrator 'admin' cancelled this request."
        )
        until(lambda: running(api) == 1, "its place is free")
        expect(rows).to_have_count(1)
        assert kept.error is None
        assert cli.run(["cancel", listed(api, "decodes")[0]["id"], *at(api)]) == 0
        kept.wait()
        assert kept.error is not None


def test_a_request_that_waits_is_cancelled_before_it_begins(
    api: httpx.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    body = chat("Count up.", ignore_eos=True, max_tokens=LONG)
    with loaded(api), ThreadPoolExecutor(_MORE_THAN_PLACES) as pool:
        answers: list[Any] = []
        try:
            # One after the other, until one finds no place.
            while not listed(api, "waits"):
                assert len(answers) < _MORE_THAN_PLACES
                answers.append(pool.submit(api.post, "/v1/chat/completions", json=body))
                until(lambda: len(all_of(api)) == len(answers), "it is listed")
            until(lambda: listed(api, "waits")[-1]["place"] == 1, "it is in line")
            last = listed(api, "waits")[-1]
            assert cli.run(["requests", "--json", *at(api)]) == 0
            shown = json.loads(capsys.readouterr().out)["data"]
            assert [each["id"] for each in shown].count(last["id"]) == 1
            assert cancelled(api, last) == 200
            answer = answers[-1].result()
        finally:
            for each in all_of(api):
                cancelled(api, each)
        assert answer.status_code == 409
        assert answer.json()["error"]["code"] == "request_cancelled"
        assert {each.result().status_code for each in answers} == {409}
        until(lambda: running(api) == 0, "all places are free")


def at(api: httpx.Client) -> list[str]:
    """Return the options that lead a verb to the server."""
    secret = api.headers["authorization"].removeprefix("Bearer ")
    return ["--url", str(api.base_url), "--key", secret]
