"""What axe finds on the admin's and the users' pages: nothing grave.

In light and dark colours, on a wide window and on a phone.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from django.contrib import admin
from django.contrib.auth.models import User
from django.urls import NoReverseMatch, reverse

from registry.models import Model
from tests.e2e.chromium import CHROMIUM
from tests.e2e.demo import populate
from tests.e2e.demo_elsewhere import demo_elsewhere
from tests.factories import make_api_key, make_team

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page, ViewportSize
    from pytest_django.live_server_helper import LiveServer

pytestmark = [
    pytest.mark.browser,
    pytest.mark.long,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no chromium at {CHROMIUM}"),
]

#: What hinders people, in axe's words.
GRAVE = ("serious", "critical")
#: Returns each grave finding as its rule, the element and why.
FINDINGS = """async ([grave, rules]) => {
  const {violations} = await axe.run({resultTypes: ["violations"], ...rules});
  return violations
    .filter(each => grave.includes(each.impact))
    .flatMap(each => each.nodes.map(node =>
      `${each.id}: ${node.html.slice(0, 200)} (${node.failureSummary.slice(0, 300)})`));
}"""
COLOURS = {"runOnly": ["color-contrast", "link-in-text-block"]}
WIDE: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 390, "height": 844}
#: How each page is looked at: whether it is dark, its size, and which rules are run.
#: Dark pages are the same pages in other colours.
LOOKS: dict[str, tuple[bool, ViewportSize, dict[str, list[str]]]] = {
    "light": (False, WIDE, {}),
    "dark": (True, WIDE, COLOURS),
    "light, on a phone": (False, PHONE, {}),
}
#: What the switch between the themes does.
SHOW = "dark => document.documentElement.classList.toggle('dark', dark)"
#: Whether every box of Select2 has its name: it is given after the page is loaded.
NAMED = "() => !document.querySelector('.select2-selection:not([aria-label])')"
#: Pages beside those of rows.
MORE = ("account", "account_new_key", "account_change_password", "mfa_index")


def pages(page: Page, server: str) -> Iterator[str]:
    """Yield the address of every page that an administrator can open."""
    found = [reverse("admin:index")]
    for model, of_rows in admin.site._registry.items():
        row = model._default_manager.first()
        for url in of_rows.get_urls():
            # Some pages are of a row, others of none; some admins have no such page.
            for arguments in ((), () if row is None else (row.pk,)):
                with suppress(NoReverseMatch):
                    found.append(reverse(f"admin:{url.name}", args=arguments))
    generative = Model.objects.filter(chat_template__gt="").first()
    assert generative is not None
    found.append(reverse("admin:registry_model_template", args=[generative.pk]))
    found += map(reverse, MORE)
    for path in dict.fromkeys(found):
        # Others are actions, files, or parts of pages.
        answer = page.request.get(f"{server}{path}")
        is_page = answer.headers.get("content-type", "").startswith("text/html")
        if answer.ok and is_page and b"<html" in answer.body():
            yield f"{server}{path}"


def test_axe_finds_nothing_grave(page: Page, live_server: LiveServer) -> None:
    someone = User.objects.get(username="admin")
    populate(someone)
    demo_elsewhere()
    make_api_key(someone, team=make_team("research", someone))
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    grave: dict[str, list[str]] = {}
    opened = list(pages(page, live_server.url))
    assert len(opened) > 40
    # They are there only with rows.
    for name in ("enginenode/", "upstream/", "upstreammodel/", "route/"):
        assert any(re.search(rf"/{name}\d+/", path) for path in opened), name
    for path in opened:
        page.goto(path)
        page.wait_for_function(NAMED)
        page.evaluate(AXE_SCRIPT)
        # A colour on its way to another one is neither of them.
        page.add_style_tag(content="* { transition: none !important }")
        for look, (is_dark, size, rules) in LOOKS.items():
            page.set_viewport_size(size)
            page.evaluate(SHOW, is_dark)
            for finding in page.evaluate(FINDINGS, [GRAVE, rules]):
                grave.setdefault(f"{look}: {finding}", []).append(path)
        page.set_viewport_size(WIDE)
    assert grave == {}, "\n\n".join(
        f"{finding}\n  on {', '.join(paths[:5])}" for finding, paths in grave.items()
    )
