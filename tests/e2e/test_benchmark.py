"""The button that measures, with the real model: results that are kept, a cancel."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.llm_manager.waiting import wait_until
from tests.shared_server import Q4_0

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.whole_server import Server

pytestmark = [pytest.mark.e2e, pytest.mark.model, pytest.mark.long]


class Admin:
    """The admin of a running server, as its first user sees it."""

    def __init__(self, http: httpx.Client, data_dir: Path) -> None:
        self.http = http
        known = json.loads((data_dir / "quickstart.json").read_text())
        self.http.get("/admin/login/")
        user, password = known["admin_user"], known["admin_password"]
        self.post("/admin/login/", username=user, password=password, next="/admin/")
        listed = self.http.get("/admin/registry/model/", params={"q": Q4_0}).text
        found = re.search(r"/admin/registry/model/(\d+)/change/", listed)
        assert found is not None
        self.model = int(found[1])

    def post(self, path: str, **data: object) -> None:
        token = self.http.cookies["csrftoken"]
        body = {"csrfmiddlewaretoken": token, **data}
        referer = {"Referer": str(self.http.base_url)}
        answer = self.http.post(path, data=body, headers=referer)
        assert answer.status_code in (200, 302), answer.text

    def speed(self) -> str:
        """Return the part of the model's page about its speed."""
        text = self.http.get(f"/admin/registry/model/{self.model}/status/").text
        start = text.index('id="speed"')
        return text[start : text.index("</section>", start)]


@pytest.fixture
def admin(server: Server, data_dir: Path) -> Iterator[Admin]:
    address = f"http://{server.host}:{server.port}"
    with httpx.Client(base_url=address, timeout=60, trust_env=False) as http:
        yield Admin(http, data_dir)


def test_a_measurement_is_cancelled_and_another_one_is_kept(admin: Admin) -> None:
    admin.post("/admin/registry/model/measure/", model=admin.model)
    wait_until(lambda: "at once" in admin.speed(), timeout_s=120)
    found = re.search(r'name="benchmark" value="(\d+)"', admin.speed())
    assert found is not None
    path = "/admin/registry/model/cancel-measure/"
    admin.post(path, benchmark=found[1])
    wait_until(lambda: "Cancelled by" in admin.speed(), timeout_s=60)

    admin.post("/admin/registry/model/measure/", model=admin.model)
    wait_until(lambda: "tokens/s" in admin.speed(), timeout_s=170)
    shown = admin.speed()
    rates = [float(rate) for rate in re.findall(r"([\d.]+) tokens/s<br>", shown)]
    assert len(rates) == 3
    assert rates[1] > rates[0] > 0
    assert "First token after 1,024 tokens" in shown
    # How much context it has depends on the machine's memory.
    assert re.search("[\\d,]+ \u00d7 8, KV f16", shown), shown
