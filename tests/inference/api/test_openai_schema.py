"""What is answered, held against the schemas that OpenAI publishes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import ValidationError  # type: ignore[import-untyped]

from inference.api.body.unsupported import unsupported_members
from inference.api.chat.request import ChatCompletionRequest
from inference.api.completions.request import CompletionRequest
from inference.api.embeddings.request import EmbeddingRequest
from inference.api.parameters.completion import ForeignHints
from inference.api.worker_view import WorkerView
from inference.errors import EngineUnavailable, RequestRejected
from tests.fakes import begun, finished, tokens
from tests.inference.api.conftest import Api, events_of, read_stream
from tests.inference.api.embedders import EMBEDDER, make_embedder
from tests.inference.api.streaming.test_logprobs import (
    END,
    HELLO,
    WORLD,
    ended,
    sampled,
)
from tests.inference.api.tool_models import (
    THINK,
    TOOLS,
    make_tool_model,
    script,
    template_of,
)
from tests.inference.api.workers import FakeWorkerClient
from tests.openai_schema import check, members_of

if TYPE_CHECKING:
    from inference.api.body.request_body import Body
    from tests.fakes import FakeEngineClient

CHAT = "CreateChatCompletionResponse"
CHUNK = "CreateChatCompletionStreamResponse"
TEXT = "CreateCompletionResponse"
REQUESTS = (
    *("CreateChatCompletionRequest", "CreateCompletionRequest"),
    "CreateEmbeddingRequest",
)
#: Hints of llama-server's and Ollama's clients.
HINTS_OF_OTHERS = set(ForeignHints.model_fields)
API_PAGE = Path(__file__).resolve().parents[3] / "docs" / "api.md"
_USAGE = {"stream": True, "stream_options": {"include_usage": True}}


async def check_stream(response: Any, schema: str) -> list[Any]:
    """Fail unless every chunk fits; return the chunks."""
    *chunks, done = events_of(await read_stream(response))
    assert done == "[DONE]"
    for chunk in chunks:
        check(schema, ended_early(chunk) if schema == TEXT else chunk)
    return chunks


def ended_early(chunk: Any) -> Any:
    """Return a chunk of a text completion as if each answer ended with it.

    OpenAI has one schema for chunks and whole answers, and its chunks have null
    where the schema wants the reason of the end, and for a usage yet to come.
    """
    choices = [
        {**each, "finish_reason": each["finish_reason"] or "stop"}
        for each in chunk["choices"]
    ]
    chunk = {name: each for name, each in chunk.items() if each is not None}
    return {**chunk, "choices": choices}


@pytest.mark.parametrize(
    ("request_name", "request_model"),
    [
        ("CreateChatCompletionRequest", ChatCompletionRequest),
        ("CreateCompletionRequest", CompletionRequest),
        ("CreateEmbeddingRequest", EmbeddingRequest),
    ],
)
def test_every_member_of_openais_requests_is_served_or_refused_by_its_name(
    request_name: str, request_model: type[Body]
) -> None:
    openais = members_of(request_name)

    assert openais <= set(request_model.model_fields)
    # What is refused as OpenAI's is OpenAI's.
    assert set(unsupported_members(request_model)) - HINTS_OF_OTHERS <= openais


def test_the_page_in_the_docs_marks_members_that_are_not_openais() -> None:
    page = API_PAGE.read_text(encoding="utf-8")
    openais = set().union(*map(members_of, REQUESTS))
    before, _, sampled = page.partition("\n## Sampling\n")
    own, _, extra = sampled.partition("These are not OpenAI's:")
    chat = before.partition("\n## Tools\n")[0]

    assert {"temperature", "seed"} <= named_in(own) <= openais
    extra = extra.partition("\n**Order.**")[0]
    assert "top_k" in named_in(extra)
    assert not named_in(extra) & openais
    marked = "\n".join(row for row in chat.splitlines() if "(not OpenAI's)" in row)
    unmarked = "\n".join(row for row in chat.splitlines() if row not in marked)
    assert named_in(marked)
    assert not named_in(marked) & openais
    assert {"model", "store"} <= named_in(unmarked) <= openais


def named_in(tables: str) -> set[str]:
    """Return the members that stand first in a row of a table."""
    cells = re.findall(r"(?m)^\| (`[^|]*`) \|", tables)
    return {name for cell in cells for name in re.findall(r"`([a-z_]+)`", cell)}


def test_the_schemas_refuse_wrong_values() -> None:
    with pytest.raises(ValidationError, match="'choices' is a required property"):
        check(CHAT, {"id": "x", "object": "chat.completion", "created": 1})


async def test_chats_are_openais(api: Api) -> None:
    check(CHAT, (await api.chat(n=2)).json())
    chunks = await check_stream(await api.chat(n=2, **_USAGE), CHUNK)
    assert chunks[-1]["usage"]["completion_tokens"] == 4


async def test_cut_answers_are_openais(api: Api, engine: FakeEngineClient) -> None:
    engine.enqueue(begun(), [tokens("Hi"), finished("length")])

    answer = (await api.chat(max_tokens=1)).json()

    assert answer["choices"][0]["finish_reason"] == "length"
    check(CHAT, answer)


async def test_calls_and_reasoning_are_openais(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("hermes", template=THINK + template_of("hermes"))
    call = '<tool_call>{"name": "now", "arguments": {}}</tool_call>'
    body = {"model": "hermes", "tools": TOOLS}
    for _ in range(2):
        script(engine, f"<think>Hm.</think>Well. {call}{call}")

    answer = (await api.chat(**body)).json()
    chunks = await check_stream(await api.chat(**body, **_USAGE), CHUNK)

    check(CHAT, answer)
    assert len(answer["choices"][0]["message"]["tool_calls"]) == 2
    assert any(
        choice["delta"].get("tool_calls")
        for chunk in chunks
        for choice in chunk["choices"]
    )


async def test_probabilities_are_openais(api: Api, engine: FakeEngineClient) -> None:
    for _ in range(4):
        engine.enqueue(begun(), [sampled(HELLO, WORLD)], [ended(END)])

    check(CHAT, (await api.chat(logprobs=True, top_logprobs=2)).json())
    check(TEXT, (await api.complete(logprobs=2)).json())
    chunks = await check_stream(await api.chat(logprobs=True, stream=True), CHUNK)
    await check_stream(await api.complete(logprobs=2, **_USAGE), TEXT)
    assert any(choice["logprobs"] for chunk in chunks for choice in chunk["choices"])


async def test_text_completions_are_openais(api: Api) -> None:
    check(TEXT, (await api.complete(prompt=["a", "b"], n=2, echo=True)).json())
    await check_stream(await api.complete(**_USAGE), TEXT)


async def test_embeddings_are_openais(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = FakeWorkerClient()
    monkeypatch.setattr(WorkerView, "get_client", lambda view: worker)
    await make_embedder()

    response = await api.post("/v1/embeddings", {"model": EMBEDDER, "input": ["a"]})

    assert response.status_code == 200
    check("CreateEmbeddingResponse", response.json())


async def test_models_are_openais(api: Api) -> None:
    check("ListModelsResponse", (await api.get("/v1/models")).json())
    check("Model", (await api.get("/v1/models/tiny")).json())


async def test_errors_are_openais_whatever_fails(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.refuse(EngineUnavailable("No engine.", retry_after=3))
    engine.enqueue(begun(), [tokens("Hi")], RequestRejected("No.", code="x"))

    for response in (
        await api.chat(),
        await api.chat(n=0),
        await api.chat(model="nobody"),
        await api.get("/v1/nothing"),
        await api.get("/v1/completions"),
        await Api(None).get("/v1/models"),
    ):
        assert response.status_code >= 400
        check("ErrorResponse", response.json())
    events = events_of(await read_stream(await api.chat(stream=True)))
    assert events[-1] == "[DONE]"
    check("ErrorResponse", events[-2])
