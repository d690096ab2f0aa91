"""The engine page, the states of models, loading and unloading."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.keys.key_access import allowed_model_ids
from inference import services
from inference.capacity.machine import Gpu, Machine
from inference.errors import EngineUnavailable
from inference.models import Worker, WorkerState
from registry.models import FileState, Kind, Model
from tests.admin_pages import count_queries, said
from tests.factories import (
    GIB,
    make_api_key,
    make_model,
    make_node,
    make_user,
    make_worker,
)

if TYPE_CHECKING:
    from django.contrib.auth.models import User

pytestmark = pytest.mark.django_db

ENGINE = "/admin/inference/worker/"
STATUS = "/admin/inference/worker/status/"
LIST = "/admin/registry/model/"
LOAD = "/admin/registry/model/load/"
UNLOAD = "/admin/registry/model/unload/"
STATES = "/admin/registry/model/states/"
HOSTILE = "<script>alert(1)</script>"


EMPTY_ALIASES = {
    f"{table}-{form}_FORMS": 0
    for table in ("aliases", "attachments")
    for form in ("TOTAL", "INITIAL")
}


def page_of(model: Model) -> str:
    return reverse("admin:registry_model_change", args=[model.pk])


def status_of(model: Model) -> str:
    return reverse("admin:registry_model_status", args=[model.pk])


@pytest.fixture
def viewer(client: Client) -> Client:
    """A member of staff who may look at everything here and change nothing."""
    rights = ("registry.view_model", "inference.view_worker")
    client.force_login(make_user("vera", *rights, is_staff=True))
    return client


# Engine page ------------------------------------------------------------------


def test_engine_page_shows_machines_and_workers(admin_client: Client) -> None:
    node = make_node("gpu-01", version="5.1.0", cpu_count=16)
    stale = timezone.now() - timedelta(minutes=3)
    make_node("gpu-02", heartbeat_at=stale)
    make_worker(
        make_model("llama"),
        node,
        n_ctx=8192,
        n_seq_max=16,
        running=5,
        waiting=2,
        memory_bytes=6 * GIB,
        kv_cells_used=21_480,
        kv_cells_total=131_072,
        output_tokens_total=6_204_118,
        load_seconds=6.4,
        restarts=1,
    )
    make_worker(
        make_model("broken"),
        node,
        state=WorkerState.FAILED,
        error="llama_model_load: error\nno memory",
        failed_at=stale,
    )
    for url in (ENGINE, STATUS):
        html = admin_client.get(url).content.decode()
        for text in (
            *("gpu-01", "gpu-02", "no heartbeat", "last heartbeat 3 min ago"),
            *("16 CPUs", "version 5.1.0", "of 24.0 GiB allowed"),
            *("8,192 \u00d7 16", "6.0 GiB", "6.2 M", "6.4 s"),
            *('value="21480" max="131072"', "Failed 3 min ago"),
            *("2.6 GiB in use", "16.0 GiB reserved"),
            "llama_model_load: error\nno memory</pre>",
        ):
            assert text in html, text


def test_the_refreshed_part_is_the_same_as_in_the_page_and_is_not_cached(
    admin_client: Client,
) -> None:
    make_worker(make_model(), make_node())
    part = admin_client.get(STATUS)
    assert "no-store" in part["Cache-Control"]
    assert part.content.decode().strip() in admin_client.get(ENGINE).content.decode()
    assert "csrfmiddlewaretoken" not in part.content.decode()


def test_engine_page_costs_six_queries_however_much_runs(admin_client: Client) -> None:
    node = make_node()
    make_worker(make_model(), node)
    # Session, user, servable models that are not loaded, workers with models and
    # nodes, nodes, their drains.
    assert count_queries(admin_client, ENGINE) == 6
    for i in range(10):
        make_worker(make_model(), make_node(f"more-{i}"))
        make_model()
    assert count_queries(admin_client, ENGINE) == 6
    # The same without the models that could be loaded.
    assert count_queries(admin_client, STATUS) == 5


def test_pending_requests_are_shown_by_key(admin_client: Client) -> None:
    key, _ = make_api_key(name="<b>Search</b>")
    ada = make_user("ada")
    since = (timezone.now() - timedelta(minutes=3)).timestamp()
    waiting = [
        {"key": name, "count": count, "position": position, "since": since}
        for name, count, position in (
            (key.prefix, 412, 7),
            ("ip:10.0.0.9", 3, 1),
            (f"session:{ada.pk}", 5, 3),
            ("deleted", 2, 2),
            (None, 9, 4),
        )
    ]
    model = make_model()
    make_worker(model, make_node(), n_ctx=4096, waiting_by_key=waiting)
    page = reverse("admin:registry_model_change", args=[model.pk])
    for url in (ENGINE, STATUS, page):
        html = admin_client.get(url).content.decode()
        for cells in (
            (f"&lt;b&gt;Search&lt;/b&gt; ({key.prefix}…)", "412", "7", "3 min ago"),
            ("10.0.0.9, without a key", "3", "1", "3 min ago"),
            ("ada, without a key", "5", "3", "3 min ago"),
            ("deleted…", "2", "2", "3 min ago"),
            ("Other keys", "9", "4", "3 min ago"),
        ):
            assert "".join(f"<td>{cell}</td>" for cell in cells) in html
    # One query for the names of the keys, one for the people.
    assert count_queries(admin_client, ENGINE) == 8


def test_engine_page_without_an_engine_says_what_to_do(admin_client: Client) -> None:
    html = admin_client.get(ENGINE).content.decode()
    assert "No engine has reported yet." in html
    assert "No model is loaded." in html


def test_engine_page_offers_models_that_can_be_loaded(admin_client: Client) -> None:
    make_model("free")
    make_model("gone", state=FileState.MISSING)
    make_worker(make_model("busy"), make_node())
    models = admin_client.get(ENGINE).context["loadable"]
    assert [model.name for model in models] == ["free"]


@pytest.mark.parametrize("url", [ENGINE, STATUS])
def test_engine_page_needs_the_right_to_view_workers(client: Client, url: str) -> None:
    client.force_login(make_user("charlie", is_staff=True))
    assert client.get(url).status_code == 403
    client.force_login(make_user("mona", "registry.change_model", is_staff=True))
    assert client.get(url).status_code == 403


def test_viewer_sees_the_engine_and_no_buttons(viewer: Client) -> None:
    model = make_model()
    make_worker(model, make_node())
    make_model()
    for url in (ENGINE, STATUS, status_of(model)):
        html = viewer.get(url).content.decode()
        assert "Ready" in html
        assert "Unload</button>" not in html
        assert "Load another model" not in html


def test_workers_cannot_be_edited_there(admin_client: Client) -> None:
    worker = make_worker(make_model(), make_node())
    for url in (f"{ENGINE}add/", f"{ENGINE}{worker.pk}/change/"):
        assert admin_client.get(url).status_code in (404, 302)
    assert admin_client.post(ENGINE, {}).status_code == 405


# Live state of models -----------------------------------------------------------


def test_list_shows_state_and_fit(admin_client: Client) -> None:
    node = make_node(memory_limit=24 * GIB)
    make_worker(make_model("coming"), node, state=WorkerState.LOADING, progress=0.42)
    make_model("large", file_size=40 * GIB)
    html = admin_client.get(LIST).content.decode()
    assert "Loading 42 %" in html
    assert '<progress class="lm-bar" value="42" max="100"' in html
    assert "does not fit" in html
    assert "Unloaded" in html


def test_fit_is_about_the_largest_living_machine(admin_client: Client) -> None:
    model = make_model(file_size=20 * GIB)
    stale = timezone.now() - timedelta(minutes=1)
    make_node("small", memory_limit=8 * GIB)
    make_node("dead", memory_limit=99 * GIB, heartbeat_at=stale)
    assert "does not fit" in admin_client.get(status_of(model)).content.decode()
    make_node("large", memory_limit=64 * GIB)
    assert ">\n\nfits\n<" in admin_client.get(status_of(model)).content.decode()


def test_list_with_workers_costs_no_more_queries(admin_client: Client) -> None:
    make_worker(make_model(), make_node())
    before = count_queries(admin_client, LIST)
    for i in range(10):
        make_worker(make_model(), make_node(f"more-{i}"))
    assert count_queries(admin_client, LIST) == before == 10


@pytest.mark.parametrize(
    ("choice", "found"),
    [("ready", ["loaded"]), ("failed", ["broken"]), ("no", ["idle"]), ("x", None)],
)
def test_models_are_filtered_by_the_state_of_their_workers(
    admin_client: Client, choice: str, found: list[str] | None
) -> None:
    node = make_node()
    loaded = make_model("loaded")
    make_worker(loaded, node)
    make_worker(loaded, node, replica=1)
    make_worker(make_model("broken"), node, state=WorkerState.FAILED)
    make_model("idle")
    response = admin_client.get(LIST, {"loaded": choice})
    names = [model.name for model in response.context["cl"].result_list]
    assert names == (found or ["broken", "idle", "loaded"])


def test_states_are_those_of_the_models_asked_for(viewer: Client) -> None:
    first, second = make_model(), make_model()
    make_worker(first, make_node())
    query = f"?id={first.pk}&id=x&id=%C2%B2&id=-1"
    html = viewer.get(STATES + query).content.decode()
    assert f'data-live-key="state-{first.pk}"' in html
    assert "Ready" in html
    assert f"state-{second.pk}" not in html


def test_states_need_the_right_to_view_models(client: Client) -> None:
    client.force_login(make_user("charlie", is_staff=True))
    model = make_model()
    assert client.get(f"{STATES}?id={model.pk}").status_code == 403
    assert client.get(status_of(model)).status_code == 403


def test_failed_worker_shows_its_reason_escaped(admin_client: Client) -> None:
    model = make_model()
    make_worker(
        model,
        make_node(HOSTILE),
        state=WorkerState.FAILED,
        error=f"{HOSTILE}\nllama.cpp: no memory",
        failed_at=timezone.now(),
    )
    page = reverse("admin:registry_model_change", args=[model.pk])
    for url in (page, status_of(model), ENGINE, STATUS):
        html = admin_client.get(url).content.decode()
        assert "llama.cpp: no memory</pre>" in html
        assert "<script>alert(1)" not in html
        assert "Try again" in html


def test_every_replica_is_shown(admin_client: Client) -> None:
    model = make_model()
    node = make_node()
    make_worker(model, node)
    make_worker(model, node, replica=1, state=WorkerState.LOADING, progress=0.1)
    html = admin_client.get(status_of(model)).content.decode()
    assert "Replica 0: Ready" in html
    assert "Replica 1: Loading 10 %" in html


# Loading and unloading ------------------------------------------------------------


def test_load_asks_the_engine_says_so_and_is_recorded(admin_client: Client) -> None:
    model = make_model("llama")
    make_node()
    response = admin_client.post(LOAD, {"model": model.pk, "back": ENGINE})
    assert response["Location"] == ENGINE
    assert said(response) == ["success: The engine was asked to load llama."]
    assert Worker.objects.get(model=model).state == WorkerState.REQUESTED
    entry = LogEntry.objects.get()
    assert entry.object_id == str(model.pk)
    assert entry.get_change_message() == "Asked the engine to load it."


def test_load_without_an_engine_promises_nothing(admin_client: Client) -> None:
    response = admin_client.post(LOAD, {"model": make_model("llama").pk})
    assert said(response) == [
        "warning: No engine is running. The next one that starts will load llama."
    ]


def test_load_of_a_lost_worker_does_not_call_it_loaded(admin_client: Client) -> None:
    model = make_model("llama")
    stale = timezone.now() - timedelta(minutes=1)
    make_worker(model, make_node(heartbeat_at=stale))
    response = admin_client.post(LOAD, {"model": model.pk})
    assert said(response)[0].startswith("warning: No engine is running.")


def test_unload_asks_the_engine_says_so_and_is_recorded(admin_client: Client) -> None:
    model = make_model("llama")
    worker = make_worker(model, make_node())
    response = admin_client.post(UNLOAD, {"model": model.pk})
    assert response["Location"] == LIST
    assert said(response) == ["success: The engine was asked to unload llama."]
    worker.refresh_from_db()
    assert not worker.is_desired
    message = LogEntry.objects.get().get_change_message()
    assert message == "Asked the engine to unload it after its running requests."


def test_bulk_actions_load_and_unload(admin_client: Client) -> None:
    make_node()
    models = [make_model("one"), make_model("two")]
    chosen = [model.pk for model in models]
    response = admin_client.post(
        LIST, {"action": "load_models", "_selected_action": chosen}
    )
    names = ", ".join(sorted(model.name for model in models))
    assert said(response) == [f"success: The engine was asked to load {names}."]
    assert Worker.objects.filter(is_desired=True).count() == 2
    admin_client.post(LIST, {"action": "unload_models", "_selected_action": chosen})
    assert not Worker.objects.filter(is_desired=True).exists()
    assert LogEntry.objects.count() == 4


def test_bulk_action_on_many_models_says_it_once(admin_client: Client) -> None:
    make_node(max_models=12, memory_limit=200 * GIB)
    chosen = [make_model(f"m{i:02}").pk for i in range(12)]
    body = {"action": "load_models", "_selected_action": chosen}
    (message,) = said(admin_client.post(LIST, body))
    assert message.endswith("m08, m09 and 2 more.")
    assert LogEntry.objects.count() == 12


@pytest.mark.parametrize(
    "fields",
    [
        {"is_enabled": False},
        {"state": FileState.MISSING},
        {"kind": Kind.PROJECTOR},
        {"kind": Kind.LORA},
    ],
)
def test_what_cannot_serve_is_not_loaded(
    admin_client: Client, fields: dict[str, Any]
) -> None:
    model = make_model("llama", **fields)
    response = admin_client.post(LOAD, {"model": model.pk})
    assert said(response) == [
        "error: Cannot load llama: disabled, without a file, or not a kind of model "
        "that answers requests."
    ]
    assert not Worker.objects.exists()
    assert not LogEntry.objects.exists()


def test_a_failure_is_shown_and_not_recorded(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*, model: Model, **order: Any) -> None:
        raise EngineUnavailable("No engine is running.")

    model = make_model("llama")
    monkeypatch.setattr(services, "worker_request", fail)
    monkeypatch.setattr(services, "worker_release", fail)
    for url, verb in ((LOAD, "load"), (UNLOAD, "unload")):
        response = admin_client.post(url, {"model": model.pk})
        assert said(response)[-1:] == [
            f"error: Could not {verb} llama: No engine is running."
        ]
    assert not LogEntry.objects.exists()


def test_nothing_to_do_is_shown_and_not_recorded(admin_client: Client) -> None:
    model = make_model("llama")
    response = admin_client.post(UNLOAD, {"model": model.pk})
    assert said(response) == ["info: Not loaded: llama."]
    make_worker(model, make_node())
    response = admin_client.post(LOAD, {"model": model.pk})
    assert said(response)[-1:] == ["info: Already loaded: llama."]
    assert not LogEntry.objects.exists()


def test_a_failed_load_is_dismissed(admin_client: Client) -> None:
    model = make_model()
    make_worker(model, make_node(), state=WorkerState.FAILED, error="no memory")
    admin_client.post(UNLOAD, {"model": model.pk})
    assert not Worker.objects.exists()


@pytest.mark.parametrize("url", [LOAD, UNLOAD])
def test_loading_is_no_link_and_needs_the_csrf_token(
    admin_user: User, url: str
) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    assert client.get(url).status_code == 405
    assert client.post(url, {"model": make_model().pk}).status_code == 403


@pytest.mark.parametrize("url", [LOAD, UNLOAD])
def test_loading_needs_the_right_to_change_models(viewer: Client, url: str) -> None:
    model = make_model()
    worker = make_worker(model, make_node())
    assert viewer.post(url, {"model": model.pk}).status_code == 403
    assert viewer.post(url, {"model": 999}).status_code == 403
    worker.refresh_from_db()
    assert worker.is_desired
    for action in ("load_models", "unload_models"):
        viewer.post(LIST, {"action": action, "_selected_action": [model.pk]})
    worker.refresh_from_db()
    assert worker.is_desired
    assert Worker.objects.count() == 1


@pytest.mark.parametrize("pk", ["", "x", "²", "999"])
def test_loading_an_unknown_model_is_not_found(admin_client: Client, pk: str) -> None:
    assert admin_client.post(LOAD, {"model": pk}).status_code == 404


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "javascript:alert(1)", ""]
)
def test_the_way_back_stays_on_this_site(admin_client: Client, target: str) -> None:
    body = {"model": make_model().pk, "back": target}
    assert admin_client.post(LOAD, body)["Location"] == LIST


# Deletion -------------------------------------------------------------------------


def delete(client: Client, model: Model) -> str:
    url = reverse("admin:registry_model_delete", args=[model.pk])
    return client.post(url, {"post": "yes"}).content.decode()


def test_a_loaded_model_is_not_deleted(admin_client: Client) -> None:
    model = make_model("llama")
    make_worker(model, make_node())
    assert "llama is loaded: unload it first" in delete(admin_client, model)
    assert Model.objects.exists()


def test_a_failed_load_goes_with_its_model(admin_client: Client) -> None:
    model = make_model()
    make_worker(model, make_node(), state=WorkerState.FAILED)
    delete(admin_client, model)
    assert not Model.objects.exists()
    assert not Worker.objects.exists()


def test_deleting_a_keys_last_model_does_not_widen_the_key(
    admin_client: Client,
) -> None:
    only = make_model("only")
    key, _ = make_api_key(models=[only])
    delete(admin_client, only)
    assert not Model.objects.filter(pk=only.pk).exists()
    key.refresh_from_db()
    assert allowed_model_ids(key) == frozenset()


def test_more_replicas_of_a_loaded_model_are_requested_at_once(
    admin_client: Client,
) -> None:
    model = make_model()
    make_worker(model, make_node())
    body = {"is_enabled": "on", "replicas": 2, **EMPTY_ALIASES}
    admin_client.post(page_of(model), body)
    assert [w.replica for w in Worker.objects.filter(model=model)] == [0, 1]
    unloaded = make_model()
    admin_client.post(page_of(unloaded), body)
    assert not Worker.objects.filter(model=unloaded).exists()


def test_the_page_of_a_model_says_what_its_memory_goes_to(admin_client: Client) -> None:
    model = make_model()
    make_node(memory_limit=64 * GIB)
    html = admin_client.get(page_of(model)).content.decode()
    assert "(weights 5.0 GiB, KV cache 2.0 GiB, compute" in html
    assert "32 sequences share 16,384 tokens, 16,384 at most each" in html


def test_a_replica_that_waits_says_so_on_the_pages(admin_client: Client) -> None:
    model, node = make_model(), make_node()
    make_worker(model, node, n_ctx=4096, n_ctx_max=8192, n_seq_max=4, kv_layout="split")
    make_worker(
        model,
        None,
        replica=1,
        state=WorkerState.REQUESTED,
        error="Waiting for memory: it needs 5.0 GiB and 1.0 GiB is free.",
    )
    for url in (page_of(model), ENGINE):
        html = admin_client.get(url).content.decode()
        assert "Waiting for memory: it needs 5.0 GiB and 1.0 GiB is free." in html
        assert "Last error" not in html
        assert "split, up to 8,192" in html
    assert "Ready 1 of 2" in admin_client.get(LIST).content.decode()


def test_the_gpus_of_a_machine_are_shown(admin_client: Client) -> None:
    gpu = Gpu("CUDA0", "NVIDIA H200", 141 * GIB, 140 * GIB)
    make_node(hardware=Machine((gpu,)).as_json())
    html = admin_client.get(ENGINE).content.decode()
    assert "NVIDIA H200, <b>133 GiB</b> of 141 GiB for models" in html
