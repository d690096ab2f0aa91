"""GET /api/tags, /api/ps and /api/version, POST /api/show; vectors."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from accounts.models import Scope
from inference.api.worker_view import WorkerView
from tests.factories import make_api_key, make_model, make_node, make_worker
from tests.inference.api.conftest import Api
from tests.inference.api.embedders import (
    EMBEDDER,
    FakeEmbedderClient,
    make_embedder,
    vector,
)
from tests.inference.api.ollama.conftest import refusal, whole
from tests.inference.api.tool_models import THINK, make_tool_model, template_of

if TYPE_CHECKING:
    from accounts.models import ApiKey
    from registry.models import Model


async def listed(api: Api, path: str) -> list[Any]:
    """Return the models that a route lists."""
    response = await api.get(path)
    assert response.status_code == 200, response.content
    models: list[Any] = response.json()["models"]
    return models


async def test_the_models_of_the_key_are_listed(api: Api, model: Model) -> None:
    other = await sync_to_async(make_model)("other", parameter_count=134_515_008)
    (first, second) = await listed(api, "/api/tags")

    assert (first["name"], first["model"]) == ("other", "other")
    assert first["details"] == {
        "parent_model": "",
        "format": "gguf",
        "family": "llama",
        "families": ["llama"],
        "parameter_size": "135M",
        "quantization_level": "Q4_K_M",
    }
    assert (first["size"], first["digest"]) == (other.file_size, other.fingerprint)
    assert second["name"] == "tiny"

    _, secret = await sync_to_async(make_api_key)(models=[model], rate_limit=0)
    assert [each["name"] for each in await listed(Api(secret), "/api/tags")] == ["tiny"]


async def test_loaded_models_say_until_when(api: Api, model: Model) -> None:
    assert await listed(api, "/api/ps") == []
    # The node's heartbeat must outlast the test.
    beat = timezone.now() + timedelta(days=1)
    node = await sync_to_async(make_node)(heartbeat_at=beat)
    await sync_to_async(make_worker)(
        model, node, n_ctx=4096, memory_estimate=700, device_memory=[100, 200, 400]
    )

    (found,) = await listed(api, "/api/ps")

    assert (found["name"], found["size"], found["size_vram"]) == ("tiny", 700, 600)
    assert found["context_length"] == 4096
    assert found["expires_at"].endswith("Z")


async def test_a_model_is_described_by_its_file(api: Api) -> None:
    await make_tool_model(
        "hermes",
        template=THINK + template_of("hermes"),
        license="mit",
        metadata={
            "general.name": "Hermes",
            "tokenizer.chat_template.tool_use": "x",
        },
    )

    found = (await api.post("/api/show", {"model": "hermes:latest"})).json()

    assert found["capabilities"] == ["completion", "tools", "thinking"]
    info = found["model_info"]
    assert (info["general.architecture"], info["general.name"]) == ("llama", "Hermes")
    assert info["llama.context_length"] == 131_072
    assert "tokenizer.chat_template.tool_use" not in info
    assert found["license"] == "mit"
    assert "<tool_call>" in found["template"]
    assert "temperature " in found["parameters"]
    former = await api.post("/api/show", {"name": "tiny", "verbose": True})
    assert former.json()["capabilities"] == ["completion", "tools"]
    assert former["x-llm-manager-left-out"] == "verbose"
    assert (await api.post("/api/show", {"model": "none"})).status_code == 404
    assert (await api.post("/api/show", {})).json() == {"error": "'model' is required."}


async def test_the_version_is_ollamas(api: Api) -> None:
    answer = (await api.get("/api/version")).json()
    assert [part.isdecimal() for part in answer["version"].split(".")] == [True] * 3


async def test_vectors_come_in_both_shapes(
    model: Model, key: tuple[ApiKey, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WorkerView, "get_client", lambda view: FakeEmbedderClient())
    await make_embedder()
    api = Api(key[1])

    many = await api.post("/api/embed", {"model": EMBEDDER, "input": ["one", "four"]})
    short = await api.post(
        "/api/embed", {"model": EMBEDDER, "input": "one", "dimensions": 2}
    )
    one = await api.post(
        "/api/embeddings",
        {"model": EMBEDDER, "prompt": "one", "options": {"num_ctx": 512}},
    )

    answer = many.json()
    assert answer["embeddings"] == [
        pytest.approx(vector(text), rel=1e-6) for text in ("one", "four")
    ]
    assert (answer["model"], answer["prompt_eval_count"]) == (EMBEDDER, 7)
    assert answer["total_duration"] >= answer["load_duration"] >= 0
    assert len(short.json()["embeddings"][0]) == 2
    assert one.json()["embedding"] == pytest.approx(vector("one"), rel=1e-6)
    assert one["x-llm-manager-left-out"] == "options.num_ctx"


async def test_a_chat_model_makes_no_vectors(api: Api) -> None:
    response = await api.post("/api/embed", {"model": "tiny", "input": "a"})
    assert response.status_code == 400
    assert "cannot make embeddings" in response.json()["error"]


async def test_a_key_without_the_scope_sees_nothing(model: Model) -> None:
    _, secret = await sync_to_async(make_api_key)(scopes=[Scope.ADMIN], rate_limit=0)
    response = await Api(secret).get("/api/tags")
    assert response.status_code == 403
    assert list(response.json()) == ["error"]


async def test_an_empty_input_is_refused(api: Api) -> None:
    await make_embedder()
    message = await refusal(api, "/api/embed", model=EMBEDDER, input="")
    assert "'input'" in message
    assert await whole(api, "/api/generate", prompt="x")
