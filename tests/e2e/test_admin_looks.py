"""How the admin's pages look: read from the pixels and boxes of a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from registry.models import ScanRun
from tests.e2e.chromium import CHROMIUM
from tests.factories import GIB, make_api_key, make_model, make_node, make_user
from tests.gguf_files import llama_fields, write_gguf

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page, ViewportSize
    from pytest_django.live_server_helper import LiveServer

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no chromium at {CHROMIUM}"),
]

PHONE: ViewportSize = {"width": 390, "height": 844}
#: What WCAG 2.2 demands of text (criterion 1.4.3).
READABLE = 4.5
#: Returns the contrast of an element's text with what is painted behind it. Colours go
#: through a canvas, which knows every notation and mixes what is transparent.
CONTRAST = """element => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const pen = canvas.getContext("2d", {willReadFrequently: true});
  const behind = [];
  for (let e = element; e; e = e.parentElement)
    behind.unshift(getComputedStyle(e).backgroundColor);
  const luminance = () => {
    const [r, g, b] = [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3).map(byte => {
      const c = byte / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paint = colour => { pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1); };
  ["white", ...behind].forEach(paint);
  const ground = luminance();
  paint(getComputedStyle(element).color);
  const text = luminance();
  return (Math.max(ground, text) + 0.05) / (Math.min(ground, text) + 0.05);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_note_can_be_read(page: Page, live_server: LiveServer, scheme: str) -> None:
    key, _ = make_api_key(make_user("anna"))
    key.revoke()
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(f"{live_server.url}/admin/accounts/apikey/{key.pk}/change/")
    note = page.locator(".lm-note")
    expect(note).to_contain_text("cannot be activated again")
    assert note.evaluate(CONTRAST) >= READABLE


def test_a_phone_shows_whose_page_it_is(page: Page, live_server: LiveServer) -> None:
    name = "llama-3.1-8b-instruct"
    model = make_model(name)
    page.set_viewport_size(PHONE)
    for path in ("change", "template"):
        page.goto(f"{live_server.url}/admin/registry/model/{model.pk}/{path}/")
        shown = page.locator("#content").get_by_text(name).first
        box = shown.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE["width"]
        assert box["y"] < PHONE["height"]
        assert shown.evaluate("e => e.scrollWidth <= e.clientWidth || !e.clientWidth")


def test_a_keys_date_needs_no_time(page: Page, live_server: LiveServer) -> None:
    key, _ = make_api_key(make_user("anna"))
    page.goto(f"{live_server.url}/admin/accounts/apikey/{key.pk}/change/")
    page.fill("#id_expires_at_0", "2999-12-31")
    page.click("text=Save and continue editing")
    expect(page.locator("text=was changed successfully")).to_be_visible()
    expect(page.locator("#id_expires_at_1")).to_have_value("23:59:00")


def test_an_error_is_said_at_the_top_and_leads_to_its_field(
    page: Page, live_server: LiveServer
) -> None:
    key, _ = make_api_key(make_user("anna"))
    page.goto(f"{live_server.url}/admin/accounts/apikey/{key.pk}/change/")
    page.fill("#id_expires_at_0", "31 December")
    page.click("text=Save and continue editing")
    reason = page.locator(".errornote li")
    expect(reason).to_contain_text("Expires at: Enter a valid date")
    expect(reason).to_be_in_viewport()
    page.click(".errornote li a")
    field = page.locator("#id_expires_at_0")
    expect(field).to_be_in_viewport()
    bar = page.locator("#submit-row").bounding_box()
    box = field.bounding_box()
    assert bar is not None
    assert box is not None
    assert box["y"] + box["height"] <= bar["y"]


def test_refused_pages_keep_the_admin_around_them(
    page: Page, live_server: LiveServer
) -> None:
    response = page.goto(f"{live_server.url}/admin/no/such/page/")
    assert response is not None
    assert response.status == 404
    expect(page.locator("h2", has_text="Page not found")).to_be_visible()
    sidebar = page.locator("#nav-sidebar")
    expect(sidebar.locator('a[href="/admin/registry/model/"]')).to_be_visible()

    User.objects.update(is_superuser=False)
    response = page.goto(f"{live_server.url}/admin/accounts/apikey/")
    assert response is not None
    assert response.status == 403
    expect(page.locator("h2", has_text="Not permitted")).to_be_visible()
    page.click("#content >> text=Dashboard")
    expect(page.locator("text=Your account has no permissions yet")).to_be_visible()


def test_unreadable_files_are_one_click_away(
    page: Page, live_server: LiveServer
) -> None:
    entries = [
        {"outcome": "new", "name": f"m{n}", "path": f"/m/{n}.gguf", "summary": "chat"}
        for n in range(40)
    ]
    broken = {"outcome": "unreadable", "path": "/m/x.gguf", "reason": "It is empty."}
    ScanRun.objects.create(
        roots=["/m"], new=40, unreadable=1, entries=[*entries, broken]
    )
    page.goto(f"{live_server.url}/admin/")
    page.click("text=1 unreadable")
    expect(page.locator("text=It is empty.")).to_be_in_viewport()
    page.goto(f"{live_server.url}/admin/registry/scanrun/")
    page.click("#result_list .field-unreadable_files a")
    expect(page.locator("text=It is empty.")).to_be_in_viewport()


def test_an_empty_installation_is_led_to_its_first_models(
    page: Page, live_server: LiveServer, settings: Any, tmp_path: Path
) -> None:
    settings.MODELS_DIR = tmp_path
    page.goto(f"{live_server.url}/admin/")
    steps = page.locator("#first-steps")
    expect(steps).to_contain_text(str(tmp_path))
    write_gguf(tmp_path / "llama.gguf", llama_fields())
    steps.locator("text=Scan now").click()
    expect(page.locator("text=1 new")).to_be_visible()
    expect(page.locator("#result_list >> text=Tiny Llama")).to_be_visible()
    expect(page.locator("#first-steps")).to_have_count(0)


def test_the_base_url_is_copied(page: Page, live_server: LiveServer) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{live_server.url}/admin/")
    page.click(".lm-base-url >> text=Copy")
    expect(page.locator(".lm-base-url [data-copy-status]")).to_have_text("Copied.")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"{live_server.url}/v1"


def test_what_a_model_would_take_is_said_as_one_types(
    page: Page, live_server: LiveServer
) -> None:
    make_node(memory_limit=64 * GIB, heartbeat_at="2999-01-01T00:00:00Z")
    model = make_model("llama-3.1-8b")
    page.goto(f"{live_server.url}/admin/registry/model/{model.pk}/change/")
    estimate = page.locator("#lm-estimate")
    expect(estimate).to_be_hidden()
    page.fill("#id_temperature", "0.3")
    page.locator("#id_n_ctx").press_sequentially("8192", delay=30)
    expect(estimate).to_contain_text("8,192 at most each")
    expect(estimate).to_be_in_viewport()
    page.select_option("#id_cache_type_k", "q8_0")
    page.fill("#id_n_ctx", "999999999")
    expect(estimate).to_contain_text("Context: The model was trained on 131072 tokens")
    page.fill("#id_n_ctx", "")
    page.select_option("#id_cache_type_k", "")
    expect(estimate).to_be_hidden()
    model.refresh_from_db()
    assert (model.n_ctx, model.temperature) == (None, None)


def test_settings_that_hold_at_once_look_different_from_load_settings(
    page: Page, live_server: LiveServer
) -> None:
    model = make_model("llama-3.1-8b")
    page.goto(f"{live_server.url}/admin/registry/model/{model.pk}/change/")
    edge = "e => getComputedStyle(e.closest('fieldset')).borderLeftColor"
    colours = {
        name: page.locator(f"#id_{name}").evaluate(edge)
        for name in ("temperature", "top_p", "is_enabled", "n_ctx", "cache_type_k")
    }
    assert colours["temperature"] == colours["top_p"] == colours["is_enabled"]
    assert colours["n_ctx"] == colours["cache_type_k"]
    assert colours["temperature"] != colours["n_ctx"]
    loading = page.locator("fieldset", has=page.locator("#id_n_ctx"))
    expect(loading).to_contain_text("until it is loaded again")
    sampling = page.locator("fieldset", has=page.locator("#id_temperature"))
    expect(sampling).to_contain_text("as soon as they are saved")
