"""How fast a model is, on its page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse
from django.utils import timezone

from inference.models import Benchmark
from tests.admin_pages import said
from tests.factories import make_model, make_node, make_user

if TYPE_CHECKING:
    from django.test import Client

    from registry.models import Model

pytestmark = pytest.mark.django_db

RESULTS = {
    "model": "tiny",
    "streams": [
        {
            "streams": streams,
            "tokens": 128 * streams,
            "tokens_per_second": 40.5 * streams,
            "tokens_per_second_each": 39.25,
            "first_token_median": 0.1,
            "first_token_worst": 0.2,
        }
        for streams in (1, 8, 16)
    ],
    "long_prompt": {
        "prompt_tokens": 1024,
        "first_token_median": 0.755,
        "prompt_tokens_per_second": 1356.3,
    },
}


def post(client: Client, where: str, **data: Any) -> list[str]:
    return said(client.post(reverse(f"admin:registry_model_{where}"), data))


def page(client: Client, model: Model) -> str:
    url = reverse("admin:registry_model_status", args=[model.pk])
    text: str = client.get(url).content.decode()
    start = text.index('id="speed"')
    return text[start : text.index("</section>", start)]


def test_the_engine_is_asked_to_measure_once(admin_client: Client) -> None:
    make_node()
    model = make_model("tiny")
    assert "Measure speed" in page(admin_client, model)
    asked = post(admin_client, "measure", model=model.pk)
    assert asked == ["success: The engine was asked to measure tiny."]
    assert post(admin_client, "measure", model=model.pk)[-1:] == [
        "info: Being measured already: tiny."
    ]
    (row,) = Benchmark.objects.all()
    assert (row.state, row.requested_by) == ("requested", "admin")


def test_a_running_one_shows_what_it_does_and_is_cancelled(
    admin_client: Client,
) -> None:
    model = make_model("tiny")
    row = Benchmark.objects.create(
        model=model, state="running", doing="8 at once", progress=0.4
    )
    shown = page(admin_client, model)
    assert "8 at once" in shown
    assert 'value="0.4"' in shown
    assert "data-live-busy" in shown
    cancelled = post(admin_client, "cancel_measure", benchmark=row.pk)
    assert cancelled == ["success: Cancelled the measurement of tiny."]
    row.refresh_from_db()
    assert row.is_cancelled


def test_results_are_a_table_and_a_chart(admin_client: Client) -> None:
    model = make_model("tiny")
    Benchmark.objects.create(
        model=model,
        state="done",
        results=RESULTS,
        settings={"cache_type_k": "f16", "cache_type_v": "f16"},
        n_ctx=2048,
        n_seq_max=16,
        node="box",
        finished_at=timezone.now(),
    )
    shown = page(admin_client, model)
    for text in (
        *("40.5 tokens/s", "324.0 tokens/s", "648.0 tokens/s", "39.3 each"),
        *("0.76 s", "1356 tokens/s", "2,048 \u00d7 16, KV f16", "box", "<polyline"),
    ):
        assert text in shown, text


def test_why_the_last_one_failed_is_said(admin_client: Client) -> None:
    model = make_model("tiny")
    Benchmark.objects.create(
        model=model, state="failed", reason="No engine.", finished_at=timezone.now()
    )
    assert "No engine." in page(admin_client, model)


def test_who_may_only_view_sees_no_button_and_is_refused(client: Client) -> None:
    client.force_login(make_user("vera", "registry.view_model", is_staff=True))
    model = make_model("tiny")
    row = Benchmark.objects.create(model=model, state="running")
    shown = page(client, model)
    assert "<button" not in shown
    for where, data in (
        ("measure", {"model": model.pk}),
        ("cancel_measure", {"benchmark": row.pk}),
    ):
        url = reverse(f"admin:registry_model_{where}")
        assert client.post(url, data).status_code == 403
    assert Benchmark.objects.count() == 1
