"""GET /v1/models, and loading and unloading."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async
from auditlog.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.audit.export import as_object
from accounts.models import Scope
from inference import services
from inference.api.models.response import model_object
from inference.api.models.view import ModelsView
from inference.errors import EngineUnavailable, ModelLoadFailed
from inference.models import Worker, WorkerState
from registry.models import Alias, Attachment, FileState, Kind
from tests.factories import (
    make_api_key,
    make_context_test,
    make_model,
    make_node,
    make_worker,
)
from tests.inference.api.conftest import Api

if TYPE_CHECKING:
    from registry.models import Model
    from tests.fakes import FakeEngineClient


async def test_a_model_is_openais_object_and_more(api: Api, model: Model) -> None:
    response = await api.get("/v1/models/tiny")

    assert response.status_code == 200
    assert response.json() == {
        "id": "tiny",
        "object": "model",
        "created": int(model.found_at.timestamp()),
        "owned_by": "llm-manager",
        "parent": None,
        "adapters": [],
        "state": "unloaded",
        "progress": 0.0,
        "seconds_left": None,
        "error": None,
        "context": {
            "in_force": 8192,
            "max": 131072,
            "trained": 131072,
            "tested": None,
        },
        "capabilities": ["chat", "completion"],
        "defaults": {
            "temperature": 0.7,
            "top_p": 0.9,
            "top_k": 0,
            "min_p": 0.0,
            "repeat_penalty": 1.0,
            "max_tokens": 4096,
        },
        "aliases": [],
        "size_bytes": 5 * 1024**3,
        "quantization": "Q4_K_M",
        "architecture": "llama",
    }


async def test_the_defaults_are_the_models_own_where_it_has_some(
    api: Api, model: Model
) -> None:
    model.temperature, model.top_k, model.max_tokens = 0, 40, 100
    await model.asave()
    defaults = (await api.get("/v1/models/tiny")).json()["defaults"]
    assert defaults["temperature"] == 0
    assert (defaults["top_k"], defaults["max_tokens"]) == (40, 100)
    assert defaults["top_p"] == 0.9
    model.kind = Kind.EMBEDDING
    await model.asave()
    assert (await api.get("/v1/models/tiny")).json()["defaults"] is None


async def test_the_tested_context_is_that_of_the_settings_in_force(
    api: Api, model: Model
) -> None:
    def more() -> None:
        make_context_test(model, "f16", passed=[512, 9216], failed=[16_384])
        make_context_test(model, "q8_0", passed=[512, 65_536])

    await sync_to_async(more)()
    context = (await api.get("/v1/models/tiny")).json()["context"]
    # A load begins with what is recommended, and a context that failed bounds it.
    assert context == {
        "in_force": 9216,
        "max": 9216,
        "trained": 131_072,
        "tested": 9216,
    }


async def test_the_list_has_only_models_that_can_answer(api: Api) -> None:
    def more() -> None:
        base = make_model("org/base", kind=Kind.COMPLETION, n_ctx=64)
        Alias.objects.create(name="base", model=base)
        make_model("vectors", kind=Kind.EMBEDDING)
        make_model("ranks", kind=Kind.RERANKER)
        make_model("projector", kind=Kind.PROJECTOR)
        make_model("off", is_enabled=False)
        make_model("gone", state=FileState.MISSING)

    await sync_to_async(more)()

    body = (await api.get("/v1/models")).json()

    assert body["object"] == "list"
    models = {each["id"]: each for each in body["data"]}
    assert list(models) == ["org/base", "ranks", "tiny", "vectors"]
    assert models["org/base"]["aliases"] == ["base"]
    assert models["org/base"]["context"]["in_force"] == 64
    assert [models[name]["capabilities"] for name in models] == [
        *(["completion"], ["reranking"], ["chat", "completion"], ["embedding"]),
    ]


@pytest.mark.parametrize(
    "name", ["org/sub/model", "nick", "model.gguf", "org%2Fsub%2Fmodel"]
)
async def test_an_id_may_have_slashes_and_an_alias_serves_too(
    api: Api, name: str
) -> None:
    def slashed() -> None:
        model = make_model("org/sub/model", file_name="model.gguf")
        Alias.objects.create(name="nick", model=model)

    await sync_to_async(slashed)()

    assert (await api.get(f"/v1/models/{name}")).json()["id"] == "org/sub/model"


async def test_an_unknown_model_is_404(api: Api) -> None:
    for name in ("nothing", "%00", "tiny/x"):
        response = await api.get(f"/v1/models/{name}")
        assert response.status_code == 404
        assert response.json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("row", "state", "progress", "error", "in_force"),
    [
        ({"state": WorkerState.REQUESTED, "node": None}, "requested", 0, None, 8192),
        ({"state": WorkerState.LOADING, "progress": 0.4}, "loading", 0.4, None, 8192),
        ({"state": WorkerState.READY, "n_ctx": 2048}, "ready", 1, None, 2048),
        ({"state": WorkerState.READY, "is_desired": False}, "draining", 0, None, 8192),
        ({"state": WorkerState.DRAINING}, "draining", 0, None, 8192),
        (
            {"state": WorkerState.FAILED, "error": "no memory"},
            "failed",
            0,
            "no memory",
            8192,
        ),
    ],
)
async def test_the_state_is_that_of_the_worker(
    api: Api,
    model: Model,
    row: dict[str, Any],
    state: str,
    progress: float,
    error: str | None,
    in_force: int,
) -> None:
    def work() -> None:
        node = make_node()
        make_worker(model, **{"node": node, **row})

    await sync_to_async(work)()

    body = (await api.get("/v1/models/tiny")).json()

    assert (body["state"], body["progress"], body["error"]) == (state, progress, error)
    assert body["context"]["in_force"] == in_force


async def test_a_model_says_how_long_its_load_still_takes(
    api: Api, model: Model
) -> None:
    began = timezone.now() - timedelta(seconds=20)

    def load() -> None:
        columns = {"state": WorkerState.LOADING, "progress": 0.4}
        make_worker(model, make_node(), last_used_at=began, **columns)

    await sync_to_async(load)()

    one = (await api.get("/v1/models/tiny")).json()
    (listed,) = (await api.get("/v1/models")).json()["data"]

    # Two fifths took 20 s, and what the requests took besides.
    elapsed_s = (timezone.now() - began).total_seconds()
    most = math.ceil(elapsed_s * 0.6 / 0.4)
    assert 30 <= one["seconds_left"] <= listed["seconds_left"] <= most


async def test_a_worker_of_a_silent_node_is_not_counted(api: Api, model: Model) -> None:
    def silence() -> None:
        long_ago = timezone.now() - timedelta(minutes=5)
        make_worker(model, make_node(heartbeat_at=long_ago), n_ctx=64)

    await sync_to_async(silence)()

    body = (await api.get("/v1/models/tiny")).json()

    assert (body["state"], body["context"]["in_force"]) == ("unloaded", 8192)


async def test_a_key_sees_only_its_models(api: Api) -> None:
    def charlies_key() -> str:
        _, secret = make_api_key(
            models=[make_model("his")], scopes=[Scope.INFERENCE, Scope.MODELS]
        )
        return secret

    charlie = Api(await sync_to_async(charlies_key)())

    listed = (await charlie.get("/v1/models")).json()["data"]
    refused = [
        await charlie.get("/v1/models/tiny"),
        await charlie.get("/v1/models/no-such-model"),
        await charlie.post("/v1/models/tiny/load"),
        await charlie.post("/v1/models/tiny/unload"),
    ]

    assert [model["id"] for model in listed] == ["his"]
    assert (await charlie.get("/v1/models/his")).status_code == 200
    assert {response.status_code for response in refused} == {403}
    assert not await Worker.objects.aexists()


@pytest.mark.django_db
def test_the_list_takes_seven_queries_however_long_it_is() -> None:
    node = make_node()
    models = [make_model() for _ in range(3)]
    for number, model in enumerate(models):
        make_worker(model, node)
        Alias.objects.create(name=f"alias-{number}", model=model)
        adapter = make_model(kind=Kind.LORA)
        Attachment.objects.create(model=model, adapter=adapter)
    view = ModelsView()
    key, _ = make_api_key(models=models)
    request: Any = type("Request", (), {"auth": key, "method": "GET"})()

    with CaptureQueriesContext(connection) as queries:
        view.prepare(request)

    tables = [query["sql"].split('FROM "')[1].split('"')[0] for query in queries]
    assert tables == [
        "registry_model",  # Which models the key is restricted to,
        "registry_model",  # the models themselves,
        "registry_alias",
        "registry_attachment",
        "registry_model",  # their adapters,
        "registry_contexttest",
        "inference_worker",  # and what runs, with its node.
    ]


# Loading and unloading ---------------------------------------------------------


@pytest.fixture
def worker_wait(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """Replace the wait for a worker by one that makes it ready at once."""
    waits: list[tuple[str, float]] = []

    async def wait(model: Model, *, timeout_s: float) -> None:
        waits.append((model.name, timeout_s))
        node = await sync_to_async(make_node)()
        await Worker.objects.filter(model=model).aupdate(
            state=WorkerState.READY, node=node, progress=1
        )

    monkeypatch.setattr(services, "worker_wait", wait)
    return waits


async def test_loading_answers_when_the_model_is_ready(
    admin_api: Api, worker_wait: list[tuple[str, float]]
) -> None:
    response = await admin_api.post("/v1/models/tiny/load")

    assert (response.status_code, response.json()["state"]) == (200, "ready")
    assert worker_wait == [("tiny", 600)]


async def test_a_load_is_in_the_audit_log_with_the_key_that_asked(
    admin_api: Api, model: Model
) -> None:
    await admin_api.post("/v1/models/tiny/load", {"wait": False})

    entry = await LogEntry.objects.select_related("content_type").alatest("id")
    found = as_object(entry)
    assert (entry.object_repr, found["event"]) == ("tiny", "load requested")
    assert found["via"].startswith("API /v1/models/tiny/load, key '")


async def test_repeated_requests_report_the_current_state(
    admin_api: Api, worker_wait: list[tuple[str, float]]
) -> None:
    states = []
    for method, path in (
        (admin_api.get, "/v1/models/tiny"),
        (admin_api.post, "/v1/models/tiny/load"),
        (admin_api.get, "/v1/models/tiny"),
        (admin_api.post, "/v1/models/tiny/unload"),
        (admin_api.get, "/v1/models/tiny"),
    ):
        states.append((await method(path)).json()["state"])

    assert states == ["unloaded", "ready", "ready", "draining", "draining"]


async def test_loading_without_waiting_answers_at_once(
    admin_api: Api, worker_wait: list[tuple[str, float]]
) -> None:
    responses = [
        await admin_api.post("/v1/models/tiny/load", {"wait": False}) for _ in range(2)
    ]

    states = [(each.status_code, each.json()["state"]) for each in responses]
    assert states == [(202, "requested")] * 2
    assert worker_wait == []
    assert await Worker.objects.acount() == 1


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"wait": "yes"}, "wait"),
        ({"n_ctx": 5}, "n_ctx"),
        ([], "body"),
        ({"config": []}, "config"),
        ({"config": {"n_ctx": 5}}, "config.n_ctx"),
        ({"config": {"n_ctx": "4096"}}, "config.n_ctx"),
        ({"config": {"n_context": 4096}}, "config.n_context"),
        ({"config": {"cache_type_k": "q3"}}, "config.cache_type_k"),
        ({"config": {"use_mmap": 1}}, "config.use_mmap"),
        ({"config": {"tensor_split": "3,x"}}, "config.tensor_split"),
        ({"config": {"n_batch": 64, "n_ubatch": 128}}, "config.n_ubatch"),
        ({"config": {"draft": "model", "draft_model": "x"}}, "config.draft_model"),
        ({"config": {"draft": "model"}}, "config.draft"),
        # These hold while a model is loaded, or are an administrator's to decide.
        ({"config": {"replicas": 2}}, "config.replicas"),
        ({"config": {"shares_prefixes": True}}, "config.shares_prefixes"),
    ],
)
async def test_a_bad_load_request_is_400_and_loads_nothing(
    admin_api: Api, body: Any, param: str
) -> None:
    response = await admin_api.post("/v1/models/tiny/load", body)

    assert (response.status_code, response.json()["error"]["param"]) == (400, param)
    assert not await Worker.objects.aexists()


async def test_a_load_may_have_settings_of_its_own(
    admin_api: Api, worker_wait: list[tuple[str, float]]
) -> None:
    config = {"n_ctx": 2048, "n_gpu_layers": -1, "tensor_split": [3, 1]}

    response = await admin_api.post("/v1/models/tiny/load", {"config": config})

    assert response.status_code == 200
    assert (await Worker.objects.aget()).load_config == config


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (
            ModelLoadFailed("llama.cpp: no such tensor", retry_after=5),
            "model_load_failed",
        ),
        (
            EngineUnavailable("No engine is running.", retry_after=5),
            "engine_unavailable",
        ),
    ],
)
async def test_a_load_that_fails_is_503_with_the_reason(
    admin_api: Api, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    async def fail(model: Model, *, timeout_s: float) -> None:
        raise error

    monkeypatch.setattr(services, "worker_wait", fail)

    response = await admin_api.post("/v1/models/tiny/load")

    assert (response.status_code, response["retry-after"]) == (503, "5")
    assert response.json()["error"] == {
        "message": str(error),
        "type": "server_error",
        "param": None,
        "code": code,
    }


async def test_unloading_makes_the_worker_undesired(
    admin_api: Api, model: Model
) -> None:
    await sync_to_async(lambda: make_worker(model, make_node()))()

    response = await admin_api.post("/v1/models/tiny/unload")
    again = await admin_api.post("/v1/models/tiny/unload", {})

    assert (response.status_code, response.json()["state"]) == (200, "draining")
    assert again.status_code == 200
    worker = await Worker.objects.aget()
    assert not worker.is_desired
    assert (await admin_api.post("/v1/models/tiny/unload", {"x": 1})).status_code == 400


@pytest.mark.django_db
def test_a_chat_model_without_a_template_does_not_promise_to_chat() -> None:
    assert model_object(make_model())["capabilities"] == ["completion"]


# Anthropic's clients ------------------------------------------------------------

ANTHROPICS = {"anthropic-version": "2023-06-01"}


async def test_anthropics_clients_get_models_in_their_shape(api: Api) -> None:
    await sync_to_async(make_model)("vectors", kind="embedding")

    page = (await api.get("/v1/models", **ANTHROPICS)).json()
    (model,) = page["data"]
    one = (await api.get("/v1/models/tiny", **ANTHROPICS)).json()

    assert (page["first_id"], page["last_id"], page["has_more"]) == (
        "tiny",
        "tiny",
        False,
    )
    assert model == one
    assert model.pop("created_at").endswith("Z")
    assert model == {
        "type": "model",
        "id": "tiny",
        "display_name": "tiny",
        "lifecycle": "active",
        "max_input_tokens": 131_072,
        "max_tokens": 131_072,
    }


async def test_anthropics_clients_turn_pages(api: Api) -> None:
    for name in ("a", "b", "c"):
        await sync_to_async(make_model)(name, chat_template="x")

    async def page(query: str) -> tuple[list[str], bool]:
        found = (await api.get(f"/v1/models?{query}", **ANTHROPICS)).json()
        return [model["id"] for model in found["data"]], found["has_more"]

    assert await page("limit=2") == (["a", "b"], True)
    assert await page("limit=2&after_id=b") == (["c", "tiny"], False)
    assert await page("limit=2&before_id=tiny") == (["b", "c"], True)
    assert await page("before_id=b") == (["a"], False)


async def test_anthropics_clients_get_errors_in_their_shape(api: Api) -> None:
    for path, status, kind in (
        ("/v1/models?limit=0", 400, "invalid_request_error"),
        ("/v1/models?after_id=x", 400, "invalid_request_error"),
        ("/v1/models/x", 404, "not_found_error"),
        ("/v1/messages/batches", 404, "not_found_error"),
    ):
        response = await api.get(path, **ANTHROPICS)
        error = response.json()
        assert (response.status_code, error["type"]) == (status, "error")
        assert error["error"]["type"] == kind


# Aliases ------------------------------------------------------------------------


async def test_an_alias_with_wildcards_stands_for_many_names(
    api: Api, model: Model, engine: FakeEngineClient
) -> None:
    other = await sync_to_async(make_model)("other", chat_template="x")
    for name, of in (("claude-*", model), ("claude-*-haiku-*", other), ("gpt", other)):
        await Alias.objects.acreate(name=name, model=of)

    async def served(name: str) -> str:
        response = await api.chat(model=name)
        return str(response.json().get("model", response.status_code))

    assert await served("claude-opus-5") == "tiny"
    assert await served("claude-5-haiku-20260101") == "other"
    assert await served("other") == "other"
    assert await served("gpt") == "other"
    assert await served("gpt-5") == "404"


@pytest.mark.parametrize(
    ("alias", "name", "fits"),
    [
        ("claude-*", "claude-", True),
        ("claude-*", "Claude-x", False),
        ("*", "anything", True),
        ("*-mini", "gpt-mini", True),
        ("*-mini", "gpt-minis", False),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a*b*c", "a-c-b-c", True),
        ("a*b*c", "a-c-c", False),
        ("a*b*b", "ab", False),
        ("a.c*", "abc", False),
        ("plain", "plain", True),
    ],
)
def test_a_wildcard_is_any_characters(alias: str, name: str, fits: bool) -> None:
    assert Alias(name=alias).matches(name) is fits


async def test_a_key_for_some_models_may_use_their_wildcards(
    model: Model, engine: FakeEngineClient
) -> None:
    other = await sync_to_async(make_model)("other", chat_template="x")
    _, secret = await sync_to_async(make_api_key)(models=[other], rate_limit=0)
    await Alias.objects.acreate(name="claude-*", model=model)
    await Alias.objects.acreate(name="gpt-*", model=other)

    assert (await Api(secret).chat(model="gpt-5")).status_code == 200
    assert (await Api(secret).chat(model="claude-5")).status_code == 403
