"""The admin's first page and its sidebar."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from html import unescape
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.utils import timezone

from accounts.limits.counting.periods import Period, period_of
from accounts.limits.counting.rules import shared_rule
from accounts.limits.counting.store import Counter
from accounts.limits.soft_limits import write_notice
from accounts.limits.spending import budget_zone
from accounts.models import Limit, LimitKind, Notice, NoticeKind
from accounts.notices.creation import notice_create
from accounts.usage.ingestion import store
from inference.evictions import eviction_note
from inference.models import WorkerState
from registry.models import FileState, ScanRun
from tests.accounts.usage.test_ingestion import entry
from tests.admin_pages import count_queries
from tests.factories import (
    make_api_key,
    make_model,
    make_node,
    make_team,
    make_user,
    make_worker,
)

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.test import Client

pytestmark = pytest.mark.django_db

LINKS = {
    "/admin/registry/model/",
    "/admin/registry/scanrun/",
    "/admin/inference/worker/",
    "/admin/accounts/apikey/",
    "/admin/auth/user/",
    "/admin/auth/group/",
    "/admin/inference/enginenode/",
}


def record(user: User, message: str) -> None:
    model = make_model()
    LogEntry.objects.log_actions(user.pk, [model], CHANGE, message, single_object=True)


def links(html: str) -> set[str]:
    return {link for link in LINKS if f'href="{link}"' in html}


def test_dashboard_shows_the_numbers(admin_client: Client, admin_user: User) -> None:
    # It is alive however busy this machine is.
    alive = timezone.now() + timedelta(hours=1)
    node = make_node("gpu-01", max_models=3, heartbeat_at=alive)
    make_worker(make_model("llama"), node, running=5, waiting=2)
    make_model(state=FileState.MISSING)
    make_api_key()
    make_api_key()[0].revoke()
    ScanRun.objects.create(finished_at=timezone.now(), new=4)
    record(admin_user, "Changed Context.")
    response = admin_client.get("/admin/")
    context, html = response.context, response.content.decode()
    assert context["models"] == {"found": 2, "without_file": 1, "enabled": 2}
    assert (context["engine"].ready, context["engine"].capacity) == (1, 3)
    assert (context["engine"].running, context["engine"].waiting) == (5, 2)
    assert context["num_keys"] == 1
    for text in (
        "gpu-01",
        "llama",
        "4 new",
        "Changed Context.",
        "Scan now",
        "1 without a file",
    ):
        assert text in html
    assert links(html) == LINKS


def test_dashboard_says_that_no_key_is_required(
    admin_client: Client, settings: Any
) -> None:
    assert "auth.required is false" not in admin_client.get("/admin/").content.decode()
    settings.AUTH_REQUIRED = False
    assert "auth.required is false" in admin_client.get("/admin/").content.decode()


def test_dashboard_costs_as_many_queries_however_much_there_is(
    admin_client: Client, admin_user: User
) -> None:
    def grow(number: int) -> None:
        node = make_node(f"node-{number}")
        worker = make_worker(make_model(), node, state=WorkerState.FAILED, error="x")
        eviction_note(worker.pk, wanted_by=worker, node=node)
        make_api_key(expires_at=timezone.now() + timedelta(days=1))
        store([entry(key_id=number, model_id=number, model_name=f"m{number}")])
        record(admin_user, "Changed.")

    grow(0)
    few = count_queries(admin_client, "/admin/")
    for number in range(1, 12):
        grow(number)
    assert count_queries(admin_client, "/admin/") == few
    # The charts' two and the recent actions are not in the part that is refreshed.
    assert count_queries(admin_client, "/admin/live/") == few - 3
    assert few < 30


def test_charlie_sees_nothing(client: Client, admin_user: User) -> None:
    make_worker(make_model("secret-model"), make_node("secret-node"))
    make_api_key(name="secret-key")
    record(admin_user, "secret-message")
    client.force_login(make_user("charlie", is_staff=True))
    html = client.get("/admin/").content.decode()
    assert "secret" not in html
    assert "Your account has no permissions yet." in html
    assert links(html) == set()
    assert "Scan now" not in html


def test_viewer_of_models_sees_models_and_own_actions(
    client: Client, admin_user: User
) -> None:
    vera = make_user("vera", "registry.view_model", is_staff=True)
    record(admin_user, "somebody else's")
    record(vera, "her own")
    make_node("gpu-01")
    client.force_login(vera)
    html = client.get("/admin/").content.decode()
    assert links(html) == {"/admin/registry/model/"}
    assert "her own" in html
    assert "somebody else" not in html
    assert "gpu-01" not in html
    assert "Scan now" not in html


def test_login_leads_to_the_dashboard(client: Client) -> None:
    make_user("ada", password="correct horse", is_staff=True)
    body = {"username": "ada", "password": "correct horse"}
    assert client.post("/admin/login/", body)["Location"] == "/admin/"


def test_an_empty_installation_says_what_to_do_and_where_models_go(
    admin_client: Client, settings: Any
) -> None:
    for path in ("/admin/", "/admin/registry/model/"):
        html = admin_client.get(path).content.decode()
        steps = html[html.index('id="first-steps"') :]
        assert str(settings.MODELS_DIR) in steps
        assert 'action="/admin/registry/model/scan/"' in steps
        assert 'href="/admin/accounts/apikey/add/"' in steps


def test_first_steps_go_when_they_are_done(admin_client: Client) -> None:
    make_model()
    html = admin_client.get("/admin/").content.decode()
    assert html.count('class="lm-done"') == 2
    assert (
        "first-steps" not in admin_client.get("/admin/registry/model/").content.decode()
    )
    make_api_key()
    assert "first-steps" not in admin_client.get("/admin/").content.decode()


def test_a_viewer_sees_no_buttons_in_the_first_steps(client: Client) -> None:
    client.force_login(make_user("vera", "registry.view_model", is_staff=True))
    html = client.get("/admin/registry/model/").content.decode()
    assert "first-steps" in html
    assert "Scan now" not in html
    assert "New API key" not in html


def test_dashboard_shows_the_base_url(admin_client: Client) -> None:
    html = admin_client.get("/admin/", HTTP_HOST="llm.example.org").content.decode()
    assert ">http://llm.example.org/v1</code>" in html
    assert 'data-copy="base-url"' in html


# What needs an administrator ---------------------------------------------------


ENDS = "&#x27;ends&#x27;"


def trouble() -> None:
    """Make a failed load, a lost node, bad files, a notice, a key, and an eviction."""
    now = timezone.now()
    node = make_node("living")
    make_node("lost", heartbeat_at=now - timedelta(minutes=9))
    failed = make_worker(
        make_model("broken"), node, state=WorkerState.FAILED, error="missing tensor"
    )
    ready = make_worker(make_model("small"), node)
    eviction_note(ready.pk, wanted_by=failed, node=node)
    entries = [{"outcome": "unreadable", "name": "bad.gguf", "reason": "no magic"}]
    ScanRun.objects.create(finished_at=now, unreadable=1, entries=entries)
    make_api_key(name="ends", expires_at=now + timedelta(days=2))
    notice_create(
        slot="x", kind=NoticeKind.LOGIN, text="A login is locked.", details={}
    )


def test_what_needs_somebody_comes_first_with_its_actions(admin_client: Client) -> None:
    trouble()
    html = admin_client.get("/admin/").content.decode()
    needs = html[html.index("What needs you") : html.index('data-live-key="numbers"')]
    for text in (
        *(
            "missing tensor",
            "no heartbeat since",
            "bad.gguf: no magic",
            "&#x27;ends&#x27;",
        ),
        *("A login is locked.", "small was unloaded once to make room for broken"),
    ):
        assert text in needs
    for button in ("Try again", "Forget", "Scan again", "Rotate…", "Mark as read"):
        assert f">{button}<" in needs
    # The worst first.
    assert needs.index("missing tensor") < needs.index("bad.gguf")
    assert needs.index("bad.gguf") < needs.index("small was unloaded")


def test_a_viewer_is_told_the_same_and_sees_no_button(client: Client) -> None:
    trouble()
    names = (
        *("registry.model", "registry.scanrun", "inference.worker"),
        *("inference.enginenode", "accounts.apikey", "accounts.notice"),
    )
    views = [name.replace(".", ".view_") for name in names]
    client.force_login(make_user("vera", *views, is_staff=True))
    html = client.get("/admin/").content.decode()
    needs = html[html.index("What needs you") : html.index('data-live-key="numbers"')]
    for text in (
        "missing tensor",
        "bad.gguf",
        "A login is locked.",
        "&#x27;ends&#x27;",
    ):
        assert text in needs
    assert "<button" not in needs
    assert "Rotate…" not in needs


def test_a_viewer_of_workers_alone_is_told_of_failed_loads(client: Client) -> None:
    trouble()
    client.force_login(make_user("walt", "inference.view_worker", is_staff=True))
    html = client.get("/admin/").content.decode()
    assert "missing tensor" in html
    for text in ("no heartbeat since", "bad.gguf", ENDS, "A lock."):
        assert text not in html[: html.index('data-live-key="numbers"')]


def test_a_notice_is_read_by_its_button_and_by_no_viewer(
    admin_client: Client, client: Client
) -> None:
    notice_create(slot="x", kind=NoticeKind.LOGIN, text="Locked.", details={})
    notice = Notice.objects.get()
    url = "/admin/accounts/notice/read/"
    vera = make_user("vera", "accounts.view_notice", is_staff=True)
    client.force_login(vera)
    assert client.post(url, {"notice": notice.pk}).status_code == 403
    admin = admin_client.post(url, {"notice": notice.pk})
    assert admin["Location"] == "/admin/"
    notice.refresh_from_db()
    assert notice.read_at is not None


def period_now() -> Period:
    return period_of(LimitKind.TOKENS_DAY, timezone.now(), budget_zone())


def test_a_budget_is_shown_while_it_is_nearly_spent(admin_client: Client) -> None:
    team = make_team("red")
    limit = Limit.objects.create(team=team, kind=LimitKind.TOKENS_DAY, amount=100)
    store([entry(team_id=team.pk, prompt_tokens=80, completion_tokens=10)])
    write_notice(Counter(shared_rule(limit), 0, period_now(), None), 85)
    page = "/admin/accounts/limit/"
    html = admin_client.get("/admin/").content.decode()
    assert "90 % of a budget are used: 100 tokens a day" in html
    assert "the team &#x27;red&#x27;" in html
    assert f'href="{page}"' in html
    limit.amount = 1000
    limit.save()
    assert "of a budget are used" not in admin_client.get("/admin/").content.decode()


def test_nothing_needs_anybody(client: Client) -> None:
    client.force_login(make_user("vera", "registry.view_model", is_staff=True))
    assert "Nothing needs you." in client.get("/admin/").content.decode()


# Charts ------------------------------------------------------------------------


def charts(html: str) -> dict[str, Any]:
    """Return the data of each chart by its title."""
    titles = re.findall(r"<figcaption>([^<]+?)\s*<", html)
    values = re.findall(r'<canvas class="chart"[^>]* data-value="([^"]*)"', html)
    return dict(zip(titles, (json.loads(unescape(v)) for v in values), strict=True))


def test_charts_show_usage_by_model_key_or_team(admin_client: Client) -> None:
    now = timezone.now()
    store(
        [
            entry(now, model_id=1, model_name="llama", first_token_ms=200),
            entry(now, model_id=1, model_name="llama", first_token_ms=200),
            entry(now, model_id=2, model_name="qwen", status=503, team_id=4),
        ]
    )
    html = admin_client.get("/admin/?period=7d&by=model").content.decode()
    found = charts(html)
    assert list(found) == [
        *("Requests", "Errors", "Tokens", "Tokens a second"),
        *("First token, p50", "First token, p95"),
    ]
    llama, qwen = found["Requests"]["datasets"]
    assert (llama["label"], llama["data"][-1]) == ("llama", 2)
    assert (qwen["label"], qwen["data"][-1]) == ("qwen", 1)
    assert [each["data"][-1] for each in found["Errors"]["datasets"]] == [0, 1]
    assert found["Tokens"]["datasets"][0]["data"][-1] == 30
    first = found["First token, p50"]["datasets"][0]["data"][-1]
    assert first == pytest.approx(0.2, rel=0.42)
    assert found["First token, p50"]["datasets"][1]["data"][-1] is None
    assert 'href="?period=7d&amp;by=model#usage" aria-current="true"' in html
    # The same numbers for who cannot see a chart.
    assert html.count("<summary>Numbers") == 6
    assert '<th scope="col">llama</th>' in html
    by_team = charts(admin_client.get("/admin/?by=team").content.decode())
    assert len(by_team["Requests"]["labels"]) == 24
    assert by_team["Requests"]["datasets"][0]["label"] == "no team"
    by_key = charts(admin_client.get("/admin/?period=30d&by=key").content.decode())
    assert len(by_key["Requests"]["labels"]) == 30
    assert by_key["Requests"]["datasets"][0]["data"][-1] == 3


def test_what_is_used_little_is_drawn_together(admin_client: Client) -> None:
    for number in range(1, 10):
        more = [entry(model_id=number, model_name=f"m{number}") for _ in range(number)]
        store(more)
    html = admin_client.get("/admin/").content.decode()
    datasets = charts(html)["Requests"]["datasets"]
    labels = [each["label"] for each in datasets]
    assert labels == ["m9", "m8", "m7", "m6", "m5", "m4", "others"]
    assert datasets[-1]["data"][-1] == 1 + 2 + 3


def test_a_nonsense_choice_is_the_usual_one(admin_client: Client) -> None:
    html = admin_client.get("/admin/?period=1y&by=<b>").content.decode()
    assert 'href="?period=24h&amp;by=model#usage" aria-current="true"' in html
    assert "No requests in this period." in html


def test_charts_need_the_right_to_see_requests(client: Client) -> None:
    store([entry(model_name="secret-model")])
    client.force_login(make_user("vera", "registry.view_model", is_staff=True))
    assert 'id="usage"' not in client.get("/admin/").content.decode()
    client.force_login(make_user("ulla", "accounts.view_usagerecord", is_staff=True))
    assert "secret-model" in client.get("/admin/").content.decode()


def test_days_begin_in_the_configured_zone(admin_client: Client, settings: Any) -> None:
    usage = settings.CONFIG.usage.model_copy(update={"time_zone": "Pacific/Auckland"})
    settings.CONFIG = settings.CONFIG.model_copy(update={"usage": usage})
    now = timezone.now()
    store([entry(now)])
    html = admin_client.get("/admin/?period=30d").content.decode()
    found = charts(html)["Requests"]
    local = now.astimezone(ZoneInfo("Pacific/Auckland"))
    assert found["labels"][-1] == f"{local:%b} {local.day}"
    assert found["datasets"][0]["data"][-1] == 1
    assert "Times are those of Pacific/Auckland." in html
