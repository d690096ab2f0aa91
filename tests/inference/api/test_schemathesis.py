"""Requests that schemathesis makes of /openapi.json, and the answers of the API.

Whatever is sent, whether it fits or not, is answered as the document says: with a
status that it names, in a body of that status's schema, and never by a fault of the
server's.
"""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any

import pytest
import schemathesis
from channels.layers import InMemoryChannelLayer, channel_layers
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks as openapi_checks

from accounts.models import Scope
from inference.api.worker_view import WorkerView
from llm_manager.web.docs import openapi_document
from llm_manager.web.handler import Handler
from registry.models import Kind
from tests.configuration import unchecked
from tests.factories import make_api_key, make_model, make_node, make_worker
from tests.inference.api.conftest import CHATML
from tests.inference.api.embedders import EMBEDDER, RANKER, WIDTH
from tests.inference.api.workers import FakeWorkerClient

_MODELS = {
    "EmbeddingRequest": EMBEDDER,
    "OllamaEmbedRequest": EMBEDDER,
    "OllamaEmbeddingsRequest": EMBEDDER,
    "RerankRequest": RANKER,
}
#: What needs more than rows and a worker: an engine that loads a model, a model's file,
#: Redis.
_NEEDS_MORE = {
    "/v1/models/{model_id}/load",
    "/v1/admin/requests",
    "/v1/admin/requests/{id_}/cancel",
}
#: Not that all is answered that fits: a request may fit and make no sense.
_CHECKS = [
    schemathesis.checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_headers_conformance,
    openapi_checks.response_schema_conformance,
    openapi_checks.negative_data_rejection,
]


def document() -> Any:
    """Return the document, with models that there are in requests for one."""
    described = json.loads(openapi_document())
    for name, schema in described["components"]["schemas"].items():
        if name.endswith("Request") and "model" in schema["properties"]:
            model = _MODELS.get(name, "tiny")
            schema["properties"]["model"] = {"enum": [model, "no-such-model"]}
    for operations in described["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = {"enum": ["tiny", "no-such-model", "a/b"]}
    return described


SCHEMA: Any = schemathesis.openapi.from_dict(document())
SCHEMA.app = Handler()
OPERATIONS = [operation.ok() for operation in SCHEMA.get_all_operations()]
#: Many operations, which seldom change.
_SELDOM = ("/v1/admin/", "/v1/downloads", "/api/")
CASES = [
    pytest.param(
        operation,
        mode,
        id=f"{operation.label}, {mode.value}",
        marks=[pytest.mark.long] if operation.path.startswith(_SELDOM) else [],
    )
    for operation in OPERATIONS
    for mode in GenerationMode
    if operation.path not in _NEEDS_MORE
    if operation.body or mode is GenerationMode.POSITIVE
]


@pytest.fixture
def secret(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """A key for everything; there is a model of each kind, and a worker."""
    # Every call has an event loop of its own, to which connections would be tied.
    monkeypatch.setitem(channel_layers.backends, "default", InMemoryChannelLayer())
    worker = FakeWorkerClient()
    monkeypatch.setattr(WorkerView, "get_client", lambda view: worker)
    # The node's heartbeat must outlast the test.
    node = make_node(heartbeat_at=timezone.now() + timedelta(days=1))
    make_worker(make_model("tiny", chat_template=CHATML), node)
    make_model(EMBEDDER, kind=Kind.EMBEDDING, embedding_length=WIDTH)
    make_model(RANKER, kind=Kind.RERANKER)
    _, secret = make_api_key(scopes=list(Scope.values), rate_limit=0)
    return secret


@pytest.fixture(autouse=True)
def _all_routes(settings: Any) -> None:
    settings.CONFIG = unchecked(settings.CONFIG, api__ollama=True)


@pytest.mark.property
@pytest.mark.parametrize(("operation", "mode"), CASES)
def test_the_api_is_as_it_is_described(
    secret: str,
    operation: Any,
    mode: GenerationMode,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "llm_manager.access")
    # There is one request without a body and parameters.
    has_choice = operation.body or any(operation.iter_parameters())
    most = hypothesis_settings().max_examples if has_choice else 1

    @given(case=operation.as_strategy(generation_mode=mode))
    @hypothesis_settings(
        derandomize=True,
        max_examples=most,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    def call(case: Any) -> None:
        case.call_and_validate(
            headers={"Authorization": f"Bearer {secret}"},
            checks=_CHECKS,
        )

    call()
