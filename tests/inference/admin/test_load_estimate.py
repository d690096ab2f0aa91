"""What a model would take with settings that are typed and not saved."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from inference.load_differences import load_time_settings
from registry.load_settings import SETTINGS
from registry.model_fieldsets import FIELDSETS
from tests.factories import GIB, make_model, make_node, make_user, make_worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.test import Client

    from registry.models import Model

pytestmark = pytest.mark.django_db

#: Read for every request, or by the engine's loop: no reload is needed.
LIVE = {
    *("replicas", "replicas_max", "node_labels", "placement"),
    *("keep_alive", "is_pinned", "is_preloaded"),
}


def ask(client: Client, model: Model, **settings: Any) -> str:
    url = reverse("admin:registry_model_estimate", args=[model.pk])
    response = client.post(url, settings)
    assert response.status_code == 200
    html: str = response.content.decode()
    return html


def test_the_estimate_follows_the_settings_and_saves_nothing(
    admin_client: Client,
) -> None:
    make_node(memory_limit=64 * GIB)
    model = make_model()
    assert "8,192 at most each" in ask(admin_client, model, n_ctx=8192)
    assert "32 sequences of 512 tokens" in ask(admin_client, model, n_ctx=512)
    model.refresh_from_db()
    assert model.n_ctx is None


@pytest.mark.parametrize(
    ("settings", "is_more"),
    [
        ({"n_ctx": 65_536}, True),
        ({"n_ctx": 4096}, False),
        ({"n_ctx": 16_384, "cache_type_k": "q4_0", "flash_attention": "on"}, False),
        ({"n_ctx": 16_384, "replicas": 2}, True),
    ],
    ids=["longer context", "shorter context", "smaller KV type", "a replica more"],
)
def test_memory_before_and_after_a_change_is_said(
    admin_client: Client, settings: dict[str, Any], *, is_more: bool
) -> None:
    make_node(memory_limit=64 * GIB)
    model = make_model(n_ctx=16_384, n_seq_max=1)
    html = ask(admin_client, model, **{"n_seq_max": 1, **settings})
    found = re.search(r"before: ([\d.]+) GiB; after: <b>([\d.]+) GiB", html)
    assert found is not None, html
    before, after = map(float, found.groups())
    assert (after > before) == is_more
    assert after != before


def test_what_a_loaded_model_would_change_is_said(admin_client: Client) -> None:
    model = make_model(n_ctx=4096)
    in_force = load_time_settings(model)
    make_worker(model, make_node(), n_ctx=4096, loaded_settings=in_force)
    html = ask(admin_client, model, n_ctx=8192)
    assert "Context: in force 4,096, after a reload 8,192" in html
    assert "in force" not in ask(admin_client, model, n_ctx=4096)


def test_what_does_not_fit_is_said(admin_client: Client) -> None:
    make_node(memory_limit=6 * GIB)
    html = ask(admin_client, make_model(), n_ctx=131_072)
    assert "does not fit" in html


def test_nothing_is_said_of_saved_settings(admin_client: Client) -> None:
    make_node()
    assert "Not saved yet" not in ask(admin_client, make_model(n_ctx=512), n_ctx=512)


def test_impossible_settings_are_named(admin_client: Client) -> None:
    html = ask(admin_client, make_model(context_length=2048), n_ctx=4096)
    assert "Context: The model was trained on 2048 tokens" in html


def test_who_may_not_edit_may_not_ask(client: Client) -> None:
    client.force_login(make_user("vera", "registry.view_model", is_staff=True))
    url = reverse("admin:registry_model_estimate", args=[make_model().pk])
    assert client.post(url, {"n_ctx": 512}).status_code == 403
    assert client.get(url).status_code == 405


def fields_of(mark: str) -> Iterator[str]:
    for _, options in FIELDSETS:
        if mark in options.get("classes", ()):
            for line in options["fields"]:
                yield from (line,) if isinstance(line, str) else line


def test_each_setting_is_shown_by_when_it_holds() -> None:
    after_reload = set(fields_of("lm-after-reload"))
    at_once = set(fields_of("lm-at-once"))
    assert after_reload == {"n_ctx", "draft_model", *SETTINGS} - LIVE
    assert at_once >= {*LIVE, "is_enabled", "temperature", "template_override"}
    assert not at_once & after_reload
