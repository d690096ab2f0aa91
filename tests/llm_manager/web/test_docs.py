"""/openapi.json and /docs: the truth, and readable without the internet."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.staticfiles import finders
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from inference.api.administration.routes import ROUTES
from inference.api.body.unsupported import UNSUPPORTED_VALUES, unsupported_members
from inference.api.chat.messages import AssistantMessage
from inference.api.chat.request import ChatCompletionRequest
from inference.api.completions.request import CompletionRequest
from inference.api.parameters.completion import StreamOptions
from llm_manager.web.docs import openapi_document
from tests.factories import make_node, make_worker
from tests.inference.api.conftest import Api, chat_body, events_of, read_stream
from tests.inference.api.tool_models import (
    THINK,
    TOOLS,
    make_tool_model,
    script,
    template_of,
)
from tests.request_schemas import REQUESTS, request_schema

if TYPE_CHECKING:
    from registry.models import Model
    from tests.fakes import FakeEngineClient

#: How many of sixteen threads got a document, and how many different ones.
_ASK_AT_ONCE = """
import django

django.setup()

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import llm_manager.urls
from llm_manager.web.docs import openapi_document

together = Barrier(16)


def ask(number):
    together.wait()
    return openapi_document()


with ThreadPoolExecutor(16) as pool:
    documents = list(pool.map(ask, range(16)))
print(len(documents), len(set(documents)))
"""
DOCS = Path(__file__).resolve().parents[3] / "docs"
API_PAGES = [DOCS / name for name in ("api.md", "responses.md", "anthropic-api.md")]


def test_processes_make_the_document_once_however_many_ask_first() -> None:
    run = subprocess.run(
        [sys.executable, "-c", _ASK_AT_ONCE],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.stdout.split() == ["16", "1"], run.stderr


def document() -> Any:
    """Return the document."""
    return json.loads(openapi_document())


def check(name: str, value: Any) -> None:
    """Fail unless the value fits the named schema."""
    schema = {"$ref": f"#/components/schemas/{name}", **document()}
    Draft202012Validator(schema).validate(value)


def fits(name: str, value: Any) -> bool:
    """Whether the value fits the named schema."""
    schema = {"$ref": f"#/components/schemas/{name}", **document()}
    return bool(Draft202012Validator(schema).is_valid(value))


def test_every_route_is_in_it_and_none_that_is_not_one_for_clients() -> None:
    described = document()

    assert described["openapi"] == "3.1.0"
    assert {
        (method, path)
        for path, operations in described["paths"].items()
        for method in operations
        if not path.startswith("/v1/admin/")
    } == {
        ("get", "/health"),
        ("get", "/health/detailed"),
        ("get", "/metrics"),
        ("post", "/api/chat"),
        ("post", "/api/generate"),
        ("post", "/api/embed"),
        ("post", "/api/embeddings"),
        ("get", "/api/tags"),
        ("post", "/api/show"),
        ("get", "/api/ps"),
        ("get", "/api/version"),
        ("get", "/v1/downloads"),
        ("get", "/v1/downloads/offer"),
        ("get", "/v1/downloads/{number}"),
        ("get", "/v1/downloads/{number}/events"),
        ("post", "/v1/downloads/{number}/cancel"),
        ("post", "/v1/downloads/{number}/retry"),
        ("get", "/v1/models"),
        ("post", "/v1/models"),
        ("delete", "/v1/models/{model_id}"),
        ("get", "/v1/models/{model_id}"),
        ("post", "/v1/apply-template"),
        ("post", "/v1/chat/completions"),
        ("post", "/v1/completions"),
        ("post", "/v1/detokenize"),
        ("post", "/v1/embeddings"),
        ("post", "/v1/models/{model_id}/load"),
        ("post", "/v1/models/{model_id}/unload"),
        ("post", "/v1/messages"),
        ("post", "/v1/messages/count_tokens"),
        ("post", "/v1/conversations"),
        ("get", "/v1/conversations/{conversation_id}"),
        ("post", "/v1/conversations/{conversation_id}"),
        ("delete", "/v1/conversations/{conversation_id}"),
        ("get", "/v1/conversations/{conversation_id}/items"),
        ("post", "/v1/conversations/{conversation_id}/items"),
        ("get", "/v1/conversations/{conversation_id}/items/{item_id}"),
        ("delete", "/v1/conversations/{conversation_id}/items/{item_id}"),
        ("post", "/v1/responses"),
        ("get", "/v1/responses/{response_id}"),
        ("delete", "/v1/responses/{response_id}"),
        ("post", "/v1/responses/{response_id}/cancel"),
        ("get", "/v1/responses/{response_id}/input_items"),
        ("post", "/v1/responses/input_tokens"),
        ("get", "/v1/files"),
        ("post", "/v1/files"),
        ("get", "/v1/files/{file_id}"),
        ("delete", "/v1/files/{file_id}"),
        ("get", "/v1/files/{file_id}/content"),
        ("get", "/v1/batches"),
        ("post", "/v1/batches"),
        ("get", "/v1/batches/{batch_id}"),
        ("post", "/v1/batches/{batch_id}/cancel"),
        ("post", "/v1/rerank"),
        ("post", "/v1/tokenize"),
        ("get", "/v1/usage"),
    }


def test_every_route_for_administrators_is_in_it() -> None:
    described = {
        path.removeprefix("/v1/"): set(operations)
        for path, operations in document()["paths"].items()
        if path.startswith("/v1/admin/")
    }
    assert described == {
        re.sub(r"<\w+:(\w+)>", r"{\1}", route): {method.lower() for method in view.on}
        for route, view, _ in ROUTES
    }


def test_every_reference_leads_somewhere_and_every_schema_is_one() -> None:
    text = openapi_document().decode()
    schemas = document()["components"]["schemas"]

    for name in re.findall(r"#/components/schemas/(\w+)", text):
        assert name in schemas
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)


def test_health_is_open_and_the_rest_needs_a_key() -> None:
    paths = document()["paths"]

    assert paths["/health"]["get"]["security"] == [{}]
    assert paths["/metrics"]["get"]["security"] == [{"ApiKey": []}]
    completion = paths["/v1/chat/completions"]["post"]
    assert completion["security"] == [{"ApiKey": []}]
    assert completion["requestBody"]["required"] is True
    assert set(completion["responses"]["200"]["content"]) == {
        "application/json",
        "text/event-stream",
    }
    statuses = {400, 401, 403, 404, 405, 408, 413, 415, 429, 500, 503}
    assert statuses < {int(status) for status in completion["responses"]}


def test_the_examples_fit_their_schemas() -> None:
    for operations in document()["paths"].values():
        for operation in operations.values():
            contents = [operation.get("requestBody", {}).get("content", {})]
            contents += [
                answer.get("content", {}) for answer in operation["responses"].values()
            ]
            for content in contents:
                media = content.get("application/json", {})
                for example in media.get("examples", {}).values():
                    check(media["schema"]["$ref"].split("/")[-1], example["value"])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"temperature": None, "stop": "x", "seed": -1, "logit_bias": {"1": 5}},
        {"tools": [], "response_format": {"type": "text"}, "user": "u"},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
        {"temperature": 3},
        {"n": 17},
        {"colour": "red"},
        {"tools": [{"type": "function"}]},
        {"stop": ["a"] * 17},
        {"messages": []},
        {"messages": [{"role": "user", "content": "x", "colour": "red"}]},
        {"messages": [{"role": "tool", "content": "x"}]},
        {"logit_bias": {"x": 1}},
    ],
)
async def test_the_schema_lets_in_what_the_api_lets_in(
    api: Api, body: dict[str, Any]
) -> None:
    response = await api.chat(**body)

    assert fits("ChatCompletionRequest", chat_body(**body)) == (
        response.status_code == 200
    )


@pytest.mark.parametrize("prompt", ["x", ["x"], [1], [[1], [2]], [], 7, [[]], None])
async def test_the_schema_lets_in_the_prompts_that_the_api_lets_in(
    api: Api, prompt: Any
) -> None:
    response = await api.complete(prompt=prompt)

    assert fits("CompletionRequest", {"model": "tiny", "prompt": prompt}) == (
        response.status_code == 200
    )


async def test_the_answers_fit_their_schemas(
    admin_api: Api, model: Model, engine: FakeEngineClient
) -> None:
    def work() -> None:
        make_worker(model, make_node())

    await sync_to_async(work)()
    usage = {"include_usage": True}

    check("ChatCompletion", (await admin_api.chat(n=2)).json())
    check("Completion", (await admin_api.complete()).json())
    check("Error", (await admin_api.chat(n=0)).json())
    check("Model", (await admin_api.get("/v1/models/tiny")).json())
    check("ModelList", (await admin_api.get("/v1/models")).json())
    check("Health", (await admin_api.get("/health")).json())
    check("DetailedHealth", (await admin_api.get("/health/detailed")).json())
    for options in ({}, {"stream_options": usage}):
        chat = await read_stream(await admin_api.chat(stream=True, **options))
        text = await read_stream(await admin_api.complete(stream=True, **options))
        for event in events_of(chat)[:-1]:
            check("ChatCompletionChunk", event)
        for event in events_of(text)[:-1]:
            check("Completion", event)


async def test_answers_with_calls_and_reasoning_match_their_schemas(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("hermes", template=THINK + template_of("hermes"))
    call = '<tool_call>{"name": "now", "arguments": {}}</tool_call>'
    for _ in range(2):
        script(engine, f"<think>Hm.</think>Well. {call}")
    body = {"model": "hermes", "tools": TOOLS}

    check("ChatCompletionRequest", chat_body(**body))
    check("ChatCompletion", (await api.chat(**body)).json())
    stream = await read_stream(await api.chat(stream=True, **body))
    for event in events_of(stream)[:-1]:
        check("ChatCompletionChunk", event)


async def test_the_page_needs_nothing_from_the_internet() -> None:
    page = await Api(None).get("/docs")

    assert page["content-type"].startswith("text/html")
    links = re.findall(r'(?:src|href|document)="([^"]+)"', page.content.decode())
    assert "/openapi.json" in links
    for link in set(links) - {"/openapi.json"}:
        assert finders.find(link.removeprefix("/static/")), link
    served = await Api(None).get("/openapi.json")
    assert served.content == openapi_document()


def test_the_page_in_the_docs_names_every_member() -> None:
    pages = [page.read_text(encoding="utf-8") for page in API_PAGES]

    names = {
        *(
            member
            for name in REQUESTS.values()
            for member in request_schema(name)["properties"]
        ),
        *unsupported_members(StreamOptions),
        *unsupported_members(AssistantMessage),
        *(value for _, value in UNSUPPORTED_VALUES),
    }
    for name in names:
        assert f"`{name}`" in "".join(pages), name
    chat, rest = pages[0].split("## Text completions")
    text = rest.split("\n## ")[0]
    sections = ((chat, ChatCompletionRequest), (text, CompletionRequest))
    for section, request in sections:
        rows = [line for line in section.splitlines() if line.startswith("| `")]
        for name, rule in unsupported_members(request).items():
            [row] = [line for line in rows if line.startswith(f"| `{name}` |")]
            accepted = rule.accepted() or "nothing"
            assert row.replace("` or `", " or ").count(accepted) == 1, row
