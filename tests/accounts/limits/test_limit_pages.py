"""Limits and notices in the admin, by Django's test client."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from django.core.cache import cache
from django.urls import reverse

from accounts.limits import admission, use_now
from accounts.limits.admission import admit
from accounts.limits.demand import Demand, Tokens
from accounts.models import Limit, LimitKind, Notice, NoticeKind
from accounts.notices.creation import notice_create
from tests.admin_pages import said
from tests.factories import make_api_key, make_model, make_team, make_user

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh() -> None:
    cache.clear()


def rows(*limits: dict[str, Any], prefix: str = "limits") -> dict[str, Any]:
    """Return the body of an inline form with new rows."""
    body: dict[str, Any] = {
        f"{prefix}-TOTAL_FORMS": len(limits),
        f"{prefix}-INITIAL_FORMS": 0,
    }
    for number, limit in enumerate(limits):
        for name, value in limit.items():
            body[f"{prefix}-{number}-{name}"] = value
    return body


def key_form(**more: Any) -> dict[str, Any]:
    """Return the body of a key's page."""
    return {
        "name": "ci",
        "scopes": ["inference"],
        "all_models": "on",
        "weight": 1,
        **more,
    }


def test_a_limit_of_a_key_is_set_on_its_page_and_holds(admin_client: Client) -> None:
    key, _ = make_api_key(name="ci", rate_limit=0)
    page = reverse("admin:accounts_apikey_change", args=[key.pk])
    new = {"kind": LimitKind.TOKENS_MONTH, "amount": "1000000"}

    response = admin_client.post(page, key_form(**rows(new)))

    assert response.status_code == 302, said(response)
    limit = Limit.objects.get()
    assert (limit.key, limit.units) == (key, 1_000_000)
    model = make_model()
    demand = Demand(model=model, tokens=Tokens(prompt=250_000))
    admit(key, model, lambda needs_tokens: demand)
    html = admin_client.get(page).content.decode()
    assert "250,000 tokens used (25 %)" in html
    assert "1,000,000 tokens a month, for the API key" in html


def test_what_holds_for_a_key_is_on_its_page_whoevers_limit_it_is(
    admin_client: Client,
) -> None:
    owner = make_user("ann")
    team = make_team("research", owner)
    key, _ = make_api_key(owner, team=team)
    large = make_model("large")
    Limit.objects.create(team=team, kind=LimitKind.MONEY_MONTH, amount=50)
    Limit.objects.create(user=owner, kind=LimitKind.PARALLEL, amount=4, model=large)

    page = reverse("admin:accounts_apikey_change", args=[key.pk])
    html = admin_client.get(page).content.decode()

    assert "50.00 USD a month, for the team &#x27;research&#x27;" in html
    assert "4 requests at once of the model &#x27;large&#x27;" in html
    assert "60 requests in 60 s" in html


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (
            [{"kind": "parallel", "amount": "1"}, {"kind": "parallel", "amount": "2"}],
            "There are two limits of parallel requests",
        ),
        ([{"kind": "tokens_day", "amount": "1.5"}], "Enter a whole number"),
        ([{"kind": "requests_minute", "amount": "5"}], "rate limit"),
        ([{"kind": "parallel", "amount": "0"}], "greater than or equal"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused_on_the_page(
    admin_client: Client, limits: list[dict[str, Any]], message: str
) -> None:
    key, _ = make_api_key()
    page = reverse("admin:accounts_apikey_change", args=[key.pk])

    response = admin_client.post(page, key_form(**rows(*limits)))

    assert response.status_code == 200
    assert message in response.content.decode()
    assert not Limit.objects.exists()


def test_teams_and_users_have_their_limits_on_their_pages(
    admin_client: Client,
) -> None:
    user = make_user("ann")
    team = make_team("research", user)
    Limit.objects.create(team=team, kind=LimitKind.PARALLEL, amount=4)
    Limit.objects.create(
        user=user, kind=LimitKind.TOKENS_DAY, amount=9, is_shared=False
    )

    of_team = admin_client.get(
        reverse("admin:accounts_team_change", args=[team.pk])
    ).content.decode()
    of_user = admin_client.get(
        reverse("admin:auth_user_change", args=[user.pk])
    ).content.decode()

    assert "0 requests used (0 %)" in of_team
    assert "by each key" in of_user


def test_the_list_has_every_limit_and_a_default_is_made_there(
    admin_client: Client,
) -> None:
    key, _ = make_api_key(name="ci")
    Limit.objects.create(key=key, kind=LimitKind.MONEY_MONTH, amount=Decimal("2.50"))

    response = admin_client.post(
        reverse("admin:accounts_limit_add"),
        {"kind": "parallel", "amount": "8", "is_shared": "on"},
    )
    html = admin_client.get(reverse("admin:accounts_limit_changelist")).content.decode()

    assert response.status_code == 302
    for text in ("2.50 USD", "ci", "0.00 USD used", "every key", "each key"):
        assert text in html


def test_the_list_asks_redis_once(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def states_of(rules: Any) -> Any:
        asked.append(len(rules))
        return admission.states_of(rules)

    monkeypatch.setattr(use_now, "states_of", states_of)
    Limit.objects.create(kind=LimitKind.PARALLEL, amount=4)
    for number in range(3):
        key, _ = make_api_key(name=f"key {number}")
        Limit.objects.create(key=key, kind=LimitKind.TOKENS_DAY, amount=9 + number)
    page = admin_client.get(reverse("admin:accounts_limit_changelist"))
    assert asked == [3]
    assert page.content.decode().count("0 tokens used (0 %)") == 3


def test_a_notice_is_on_the_dashboard_until_somebody_has_read_it(
    admin_client: Client,
) -> None:
    notice_create(slot="a", kind=NoticeKind.LOGIN, text="80 % are used.", details={})
    assert "80 % are used." in admin_client.get("/admin/").content.decode()

    admin_client.post(
        reverse("admin:accounts_notice_changelist"),
        {"action": "mark_as_read", "_selected_action": [Notice.objects.get().pk]},
    )

    assert "80 % are used." not in admin_client.get("/admin/").content.decode()
    listed = admin_client.get(reverse("admin:accounts_notice_changelist"))
    assert "80 % are used." in listed.content.decode()
