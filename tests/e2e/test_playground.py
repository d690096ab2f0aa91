"""The playground in chromium, before the real server and its sample model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.e2e.chromium import CHROMIUM, CHROMIUM_ARGS, PATIENCE_MS
from tests.e2e.conftest import Q4_0
from tests.inference.api.media.images import BLUE, data_url, image_file
from tests.sound_files import tune, wav_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Locator, Page, Route

    from tests.whole_server import Server

pytestmark = [
    pytest.mark.browser,
    pytest.mark.e2e,
    pytest.mark.model,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no chromium at {CHROMIUM}"),
]

WAV = wav_file(tune(0.5, 8_000), 8_000)
WEATHER = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"enum": ["Paris", "Rome"]}},
                "required": ["city"],
            },
        },
    }
]
SCHEMA = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "blue"]}},
    "required": ["colour"],
}


@pytest.fixture(scope="module")
def own_browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=CHROMIUM, args=CHROMIUM_ARGS
        )
        yield started
        started.close()


@pytest.fixture(scope="module")
def signed_in(own_browser: Browser, server: Server, data_dir: Path) -> str:
    """The cookies of the administrator, who signs in once."""
    credentials = json.loads((data_dir / "quickstart.json").read_text())
    context = own_browser.new_context()
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"http://{server.host}:{server.port}/admin/playground/")
    page.fill("#id_username", credentials["admin_user"])
    page.fill("#id_password", credentials["admin_password"])
    page.click("#login-form [type=submit]")
    page.wait_for_selector("#playground[data-ready]")
    state = json.dumps(context.storage_state())
    context.close()
    return state


@pytest.fixture
def page(own_browser: Browser, server: Server, signed_in: str) -> Iterator[Page]:
    """The playground with the sample model; afterwards, that nothing went wrong."""
    context = own_browser.new_context(
        storage_state=json.loads(signed_in), viewport={"width": 1280, "height": 900}
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "console",
        lambda entry: (
            errors.append(entry.text)
            if entry.type == "error" and not entry.text.startswith("Failed to load")
            else None
        ),
    )
    page.goto(f"http://{server.host}:{server.port}/admin/playground/?model={Q4_0}")
    page.wait_for_selector("#playground[data-ready]")
    yield page
    context.close()
    assert errors == []


def pane(page: Page, number: int = 0) -> Locator:
    return page.locator(".pg-pane").nth(number)


def answers(page: Page, number: int = 0) -> Locator:
    return pane(page, number).locator("[data-role=assistant]")


def written(answer: Locator) -> Locator:
    return answer.locator(":scope > .pg-text")


def fact(answer: Locator, name: str) -> Locator:
    return answer.locator(".pg-facts > div", has_text=name)


def say(page: Page, text: str) -> None:
    page.fill("#pg-text", text)
    page.press("#pg-text", "Enter")


def set_parameter(page: Page, name: str, value: str) -> None:
    page.fill(f"[data-parameter={name}]", value)


def test_an_answer_streams_stops_and_is_asked_for_again_by_keyboard_alone(
    page: Page,
) -> None:
    assert page.evaluate("document.activeElement.id") == "pg-text"
    expect(pane(page).locator("[data-part=model]")).to_have_value(Q4_0)
    set_parameter(page, "temperature", "0")
    # No end by itself, so that it is still writing when it is stopped.
    page.locator("summary", has_text="Other members").click()
    page.fill("[name=others]", '{"ignore_eos": true}')
    page.focus("#pg-text")
    page.keyboard.type("Tell me a long story.")
    page.keyboard.press("Enter")
    answer = answers(page).last
    expect(written(answer)).not_to_be_empty()
    page.keyboard.press("Escape")
    expect(fact(answer, "End")).to_contain_text("stopped by you")
    expect(answer).not_to_have_attribute("aria-busy", "true")
    assert written(answer).inner_text()

    page.fill("[name=others]", "")
    pane(page).locator("button", has_text="Edit").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Control+A")
    page.keyboard.type("Say hello.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    answer = answers(page).last
    expect(fact(answer, "End")).to_contain_text("stop")
    assert answers(page).count() == 1
    assert pane(page).locator("[data-role=user] .pg-text").inner_text() == "Say hello."
    for name in ("First token", "Completion"):
        expect(fact(answer, name)).to_be_visible()
    expect(fact(answer, "Prompt")).to_contain_text("cached")

    # The row of usage is the user's, and no key's.
    with page.context.expect_page() as opened:
        answer.locator(".pg-facts a").click()
    usage = opened.value
    row = usage.locator("#result_list tbody tr")
    for _ in range(100):
        if row.count():
            break
        usage.wait_for_timeout(200)
        usage.reload()
    expect(row).to_have_count(1)
    expect(row).to_contain_text("no key")
    expect(row).to_contain_text("admin")
    expect(row).to_contain_text("chat-completions")


def test_a_tool_is_called_and_gets_its_result_and_a_schema_is_kept(page: Page) -> None:
    page.locator("summary", has_text="Tools").click()
    page.fill("[name=tools]", "[not JSON")
    say(page, "Is it cold in Rome?")
    expect(page.locator("#pg-problem")).to_contain_text("“Tools, in JSON” is no JSON")
    expect(page.locator("[name=tools]")).to_be_focused()
    assert page.input_value("#pg-text") == "Is it cold in Rome?"

    page.fill("[name=tools]", json.dumps(WEATHER))
    page.select_option("[data-parameter=tool_choice]", "required")
    page.press("#pg-text", "Enter")
    call = answers(page).last.locator(".pg-call")
    expect(call.locator("b")).to_have_text("Calls get_weather")
    expect(fact(answers(page).last, "End")).to_contain_text("tool_calls")
    assert json.loads(call.locator("pre").inner_text())["city"] in ("Paris", "Rome")

    page.select_option("[data-parameter=tool_choice]", "none")
    set_parameter(page, "max_tokens", "12")
    call.locator("textarea").fill('{"celsius": 4}')
    # A second model has the call, too, and what was written for it.
    page.click("#pg-compare")
    copied = answers(page, 1).last.locator("textarea")
    expect(copied).to_have_value('{"celsius": 4}')
    expect(copied).to_be_editable()
    expect(pane(page, 1).get_by_role("button", name="Send results")).to_be_visible()
    request = pane(page, 1).locator("[data-part=request]")
    request.locator("summary").click()
    page.fill("#pg-text", "Go on")
    expect(request).to_contain_text('\\"celsius\\": 4')
    page.fill("#pg-text", "")
    page.click("#pg-compare")
    pane(page).get_by_text("Send results").click()
    expect(answers(page)).to_have_count(2)
    expect(fact(answers(page).last, "End")).to_be_visible()
    pane(page).get_by_text("Prompt as rendered").click()
    expect(pane(page).locator("[data-part=rendered]")).to_contain_text('"celsius": 4')

    page.click("#pg-new")
    page.fill("[name=tools]", "")
    set_parameter(page, "max_tokens", "")
    page.locator("summary", has_text="Response format").click()
    page.select_option("[name=response_format]", "json_schema")
    page.fill("[name=schema]", json.dumps(SCHEMA))
    say(page, "Which colour?")
    expect(fact(answers(page).last, "End")).to_be_visible()
    text = written(answers(page).last).inner_text()
    assert json.loads(text)["colour"] in ("red", "blue")


@pytest.mark.long
def test_two_models_answer_side_by_side(page: Page) -> None:
    set_parameter(page, "max_tokens", "8")
    say(page, "Hello")
    expect(fact(answers(page).last, "End")).to_be_visible()
    page.click("#pg-compare")
    # One model is loaded at a time on this server, so it is the same one twice.
    pane(page, 1).locator("select").select_option(Q4_0)
    expect(answers(page, 1)).to_have_count(1)  # the conversation so far
    say(page, "And now?")
    for number in (0, 1):
        expect(answers(page, number)).to_have_count(2)
        expect(fact(answers(page, number).last, "End")).to_be_visible()
    pane(page, 1).locator("button", has_text="Edit").first.click()
    page.locator(".pg-edit textarea").fill("Good morning")
    page.locator(".pg-edit button[class*=primary]").click()
    for number in (0, 1):
        expect(answers(page, number)).to_have_count(1)
        expect(fact(answers(page, number).last, "End")).to_be_visible()
        shown = pane(page, number).locator("[data-role=user] .pg-text")
        expect(shown).to_have_text("Good morning")
    page.click("#pg-compare")
    expect(page.locator(".pg-pane")).to_have_count(1)


def test_an_error_is_a_sentence_with_its_code(page: Page) -> None:
    set_parameter(page, "temperature", "7")
    say(page, "Hello")
    error = pane(page).locator("[data-part=error]")
    expect(error).to_contain_text("'temperature'")
    expect(error).to_contain_text("(invalid_value, 400)")
    set_parameter(page, "temperature", "1")
    set_parameter(page, "max_tokens", "4")
    error.locator("text=Try again").click()
    expect(fact(answers(page).last, "End")).to_be_visible()
    expect(error).to_be_hidden()

    page.context.clear_cookies(name="sessionid")
    say(page, "Again")
    expect(error).to_contain_text("needs an API key")


def test_a_load_shows_its_progress_and_thinking_stands_apart(page: Page) -> None:
    chunks: list[dict[str, Any]] = [
        {"choices": [{"delta": delta, "finish_reason": None}]}
        for delta in ({"reasoning_content": "Hm. "}, {"content": "Four."})
    ]
    chunks[1]["choices"][0]["finish_reason"] = "stop"
    stream = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
    held: list[Route] = []
    loading = {"id": Q4_0, "state": "loading", "progress": 0.42}
    page.route("**/v1/models/*", lambda route: route.fulfill(json=loading))
    page.route("**/v1/chat/completions", lambda route: held.append(route))
    say(page, "Two and two?")
    place = pane(page).locator("[data-part=loading]")
    expect(place).to_contain_text("Loading the model: 42 %")
    assert place.locator("progress").evaluate("bar => bar.value") == 0.42
    held[0].fulfill(body=f"{stream}data: [DONE]\n\n", content_type="text/event-stream")

    answer = answers(page).last
    expect(written(answer)).to_have_text("Four.")
    expect(fact(answer, "First token")).to_contain_text("with the load")
    expect(place).to_be_hidden()
    thinking = answer.locator(".pg-thinking")
    expect(thinking.locator(".pg-text")).to_have_text("Hm. ")
    expect(thinking).not_to_have_attribute("open", "")
    expect(thinking.locator("summary")).to_have_text("Thinking")


@pytest.mark.long
def test_a_phone_shows_the_whole_page_in_its_width(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.reload()
    page.wait_for_selector("#playground[data-ready]")
    expect(page.locator("[data-parameter=max_tokens]")).to_be_hidden()
    page.locator("summary", has_text="Parameters").click()
    set_parameter(page, "max_tokens", "8")
    page.click("#pg-compare")
    pane(page, 1).locator("select").select_option(Q4_0)
    page.fill("#pg-text", "x" * 200)
    page.click("#pg-send")
    for number in (0, 1):
        expect(fact(answers(page, number).last, "End")).to_be_visible()
        pane(page, number).get_by_text("Request as code").click()
    assert page.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.long
def test_the_request_as_code_runs_unchanged(page: Page, server: Server) -> None:
    set_parameter(page, "top_k", "1")
    # One answer only: of two that are as likely, a cached prompt may have the other.
    page.locator("summary", has_text="Other members").click()
    page.fill("[name=others]", '{"guided_choice": ["The sky is blue."]}')
    say(page, "It's \"quoted\"; 'twice' – naïve?\nA line.")
    expect(fact(answers(page).last, "End")).to_be_visible()
    text = written(answers(page).last).inner_text().strip()
    pane(page).get_by_text("Request as code").click()
    code = pane(page).locator("[data-part=code]")
    expect(code).to_contain_text("curl ")
    environment = {
        **os.environ,
        "LLM_MANAGER_API_KEY": server.key,
        "NO_PROXY": "127.0.0.1",
    }

    def output(*command: str) -> str:
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        ).stdout

    pieces = [
        json.loads(line.removeprefix("data: "))["choices"]
        for line in output("sh", "-c", code.inner_text()).split("\n\n")
        if line.startswith("data: {")
    ]
    by_curl = "".join(c[0]["delta"].get("content") or "" for c in pieces if c)
    assert by_curl.strip() == text
    pane(page).locator("button", has_text="Python").click()
    expect(code).to_contain_text("import OpenAI")
    assert output(sys.executable, "-c", code.inner_text()).strip() == text
    pane(page).locator("button", has_text="JavaScript").click()
    expect(code).to_contain_text("client.chat.completions.create(")
    expect(code).to_contain_text('"top_k": 1')


def test_files_go_with_a_message_to_a_model_that_sees_and_hears(
    page: Page, tmp_path: Path
) -> None:
    able = ["chat", "vision", "audio"]
    seeing = {"id": Q4_0, "state": "ready", "capabilities": able}
    asked: list[Any] = []

    def answer(route: Route) -> None:
        asked.append(route.request.post_data_json)
        chunk = {"choices": [{"index": 0, "delta": {"content": "Red."}}]}
        body = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n"
        route.fulfill(body=body, content_type="text/event-stream")

    expect(page.locator("#pg-add")).to_be_hidden()
    page.route("**/v1/models", lambda route: route.fulfill(json={"data": [seeing]}))
    page.route("**/v1/models/*", lambda route: route.fulfill(json=seeing))
    page.route("**/v1/chat/completions", answer)
    page.reload()
    page.wait_for_selector("#playground[data-ready]")
    red, blue = tmp_path / "red.png", tmp_path / "blue.png"
    red.write_bytes(image_file())
    blue.write_bytes(image_file(colour=BLUE))
    bell = tmp_path / "bell.wav"
    bell.write_bytes(WAV)
    expect(page.locator("#pg-add")).to_contain_text("Add images or sounds")
    page.set_input_files("#pg-picker", [red, blue, bell])
    chosen = page.locator("#pg-images li")
    expect(chosen).to_have_count(3)
    page.get_by_role("button", name="Remove blue.png").click()
    expect(chosen).to_have_count(2)
    say(page, "What is this?")

    expect(written(answers(page).last)).to_have_text("Red.")
    expect(pane(page).locator("[data-role=user] img")).to_have_count(1)
    expect(pane(page).locator("[data-role=user] audio")).to_have_js_property(
        "duration", 0.5
    )
    expect(chosen).to_have_count(0)
    content = asked[0]["messages"][-1]["content"]
    assert content == [
        {"type": "image_url", "image_url": {"url": data_url()}},
        {
            "type": "input_audio",
            "input_audio": {"data": b64encode(WAV).decode(), "format": "wav"},
        },
        {"type": "text", "text": "What is this?"},
    ]

    pane(page).locator("summary", has_text="Request as code").click()
    expect(pane(page).locator("[data-part=code]")).to_contain_text("image/png;base64,…")
    pane(page).locator("button", has_text="Edit").click()
    page.fill(".pg-edit textarea", "And this?")
    page.click(".pg-edit .lm-button-primary")
    expect(pane(page).locator("[data-role=user] .pg-text")).to_have_text("And this?")
    expect(written(answers(page).last)).to_have_text("Red.")
    assert asked[1]["messages"][-1]["content"][0] == content[0]
