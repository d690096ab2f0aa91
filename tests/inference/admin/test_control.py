"""Unloading, reloading and disabling: two choices, and what is said about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admin.models import LogEntry

from inference.load_differences import load_time_settings
from inference.models import StopOrder, Worker
from registry.models import Model
from tests.admin_pages import said
from tests.factories import GIB, make_model, make_node, make_worker

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db

LIST = "/admin/registry/model/"


@pytest.fixture
def worker() -> Worker:
    """A loaded model on which two requests run; one model fits here."""
    model = make_model("llama")
    return make_worker(
        model,
        make_node(max_models=1, memory_limit=64 * GIB),
        running=2,
        n_ctx=4096,
        n_seq_max=4,
        device_memory=[8 * GIB],
        loaded_settings=load_time_settings(model),
    )


def order() -> tuple[str, bool, str]:
    found = StopOrder.objects.get()
    return found.action, found.is_now, found.by


def page(client: Client, model: Model) -> str:
    response = client.get(f"{LIST}{model.pk}/change/")
    assert response.status_code == 200
    return response.content.decode()


def settings_of(model: Model, **changes: Any) -> dict[str, Any]:
    """The form of a model's page with these changes."""
    return {
        "is_enabled": "on",
        "aliases-TOTAL_FORMS": 0,
        "aliases-INITIAL_FORMS": 0,
        "attachments-TOTAL_FORMS": 0,
        "attachments-INITIAL_FORMS": 0,
        **changes,
    }


def test_unload_after_running_requests_says_how_many_and_how_long(
    admin_client: Client, worker: Worker
) -> None:
    html = page(admin_client, worker.model)
    assert "Unload after requests" in html
    assert "Unload now" in html
    response = admin_client.post(f"{LIST}unload/", {"model": worker.model_id})
    assert said(response) == [
        "success: The engine was asked to unload llama after its 2 running requests, "
        "which may take 60 s (engine.drain_timeout)."
    ]
    assert order() == ("unload", False, "the administrator admin")


def test_unload_now_says_that_requests_end(
    admin_client: Client, worker: Worker
) -> None:
    response = admin_client.post(f"{LIST}unload/?when=now", {"model": worker.model_id})
    assert said(response) == [
        "success: The engine was asked to unload llama now: its 2 running requests "
        "end with an error."
    ]
    assert order() == ("unload", True, "the administrator admin")
    assert LogEntry.objects.get().get_change_message() == (
        "Asked the engine to unload it now."
    )


def test_a_disabled_model_is_unloaded_and_its_requests_are_finished(
    admin_client: Client, worker: Worker
) -> None:
    body = settings_of(worker.model)
    del body["is_enabled"]
    response = admin_client.post(f"{LIST}{worker.model_id}/change/", body)
    assert said(response)[0] == (
        "success: Disabled; the engine was asked to unload llama after its 2 running "
        "requests, which may take 60 s (engine.drain_timeout)."
    )
    assert order() == ("disable", False, "the administrator admin")


def test_a_saved_load_setting_is_shown_beside_the_one_in_force(
    admin_client: Client, worker: Worker
) -> None:
    assert "in force:" not in page(admin_client, worker.model)
    Model.objects.update(n_ctx=8192, temperature=0.3)
    html = page(admin_client, worker.model)
    assert "in force: 4,096" in html
    assert "saved: 8,192" in html
    assert html.count("in force: ") == 1
    assert "Reload now" in html


@pytest.mark.parametrize(
    ("when", "what"),
    [
        ("", "after its 2 running requests, which may take 60 s (engine.drain"),
        ("?when=now", "now: its 2 running requests continue after that."),
    ],
)
def test_a_reload_has_the_same_two_choices(
    admin_client: Client, worker: Worker, when: str, what: str
) -> None:
    response = admin_client.post(f"{LIST}reload/{when}", {"model": worker.model_id})
    (message,) = said(response)
    assert f"The engine was asked to reload llama {what}" in message
    assert order() == ("reload", bool(when), "the administrator admin")
    worker.refresh_from_db()
    assert worker.is_desired


def test_a_load_that_evicts_asks_first_and_names_what_goes(
    admin_client: Client, worker: Worker
) -> None:
    other = make_model("other")
    asked = admin_client.post(f"{LIST}load/", {"model": other.pk})
    assert asked.status_code == 200
    assert (
        "loading it makes room by unloading llama, after its 2 running requests"
        in asked.content.decode()
    )
    assert not Worker.objects.filter(model=other).exists()
    done = admin_client.post(f"{LIST}load/", {"model": other.pk, "confirmed": "yes"})
    assert said(done) == [
        "success: The engine was asked to load other. It makes room by unloading "
        "llama, after its 2 running requests."
    ]
    assert Worker.objects.filter(model=other).exists()


def test_a_bulk_load_that_evicts_asks_first(
    admin_client: Client, worker: Worker
) -> None:
    chosen = [make_model(name).pk for name in ("a", "b")]
    body: dict[str, Any] = {"action": "load_models", "_selected_action": chosen}
    html = admin_client.post(LIST, body).content.decode()
    assert "unloading llama" in html
    assert "unloading a, loaded just before" in html
    assert Worker.objects.count() == 1
    admin_client.post(LIST, body | {"confirmed": "yes"})
    assert Worker.objects.count() == 3


def test_the_models_page_says_what_a_load_does_now_and_on_an_empty_machine(
    admin_client: Client, worker: Worker
) -> None:
    html = page(admin_client, make_model("other"))
    assert "an empty machine" in html
    assert "Now: loading it makes room by unloading llama" in html
