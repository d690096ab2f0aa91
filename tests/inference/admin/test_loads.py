"""The last loads on a model's page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse
from django.utils import timezone

from inference.models import ModelLoad, WorkerState
from tests.factories import make_model, make_node, make_worker

if TYPE_CHECKING:
    from django.test import Client

    from registry.models import Model

pytestmark = pytest.mark.django_db


def add(model: Model, **columns: Any) -> ModelLoad:
    fields: dict[str, Any] = {
        "node_name": "box",
        "requested_by": "olga",
        "requested_at": timezone.now(),
        "settings": {"cache_type_k": "q8_0", "cache_type_v": "q8_0"},
        "n_ctx": 4096,
        "n_seq_max": 8,
        **columns,
    }
    return ModelLoad.objects.create(model=model, **fields)


def page(client: Client, model: Model) -> str:
    url = reverse("admin:registry_model_change", args=[model.pk])
    text: str = client.get(url).content.decode()
    start = text.index('id="loads"')
    return text[start : text.index("</section>", start)]


def test_a_load_shows_who_asked_how_long_it_took_and_its_settings(
    admin_client: Client,
) -> None:
    model = make_model()
    add(model, result="loaded", seconds=2.25, ended_at=timezone.now())
    shown = page(admin_client, model)
    for text in ("Loaded", "olga", "2.3 s", "4,096 \u00d7 8, KV q8_0", "box"):
        assert text in shown, text


def test_a_failed_load_has_its_words_and_what_to_do(admin_client: Client) -> None:
    model = make_model()
    error = "unknown model architecture: '<b>new</b>'"
    add(model, result="failed", error=error, ended_at=timezone.now())
    shown = page(admin_client, model)
    assert "unknown model architecture: &#x27;&lt;b&gt;new&lt;/b&gt;&#x27;" in shown
    assert "What to do:" in shown
    assert "install a newer LLM Manager" in shown


def test_a_load_goes_on_only_while_its_process_lives(admin_client: Client) -> None:
    model = make_model()
    add(model, incarnation="old")
    assert "Interrupted" in page(admin_client, model)
    ModelLoad.objects.all().delete()
    add(model, incarnation="new")
    make_worker(model, make_node(), incarnation="new", state=WorkerState.LOADING)
    shown = page(admin_client, model)
    assert "Loading" in shown
    assert "Interrupted" not in shown
