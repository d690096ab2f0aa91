"""Bad requests: each is refused in OpenAI's shape, with the field by name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async
from django.test import AsyncRequestFactory

from inference.api.failures import failure_of
from inference.errors import ModelLoadFailed
from registry.models import FileState, Kind
from tests.factories import make_model
from tests.inference.api.conftest import Api, call_view, chat_body

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fakes import FakeEngineClient


def part(**members: Any) -> dict[str, Any]:
    """Return a body whose message has one content part."""
    return {"messages": [{"role": "user", "content": [members]}]}


def message(**members: Any) -> dict[str, Any]:
    """Return a body with one message."""
    return {"messages": [{"role": "user", "content": "Hi", **members}]}


def call(**members: Any) -> dict[str, Any]:
    """Return a body with a tool call."""
    function = {"name": "f", "arguments": "{}"}
    tool_call = {"id": "1", "type": "function", "function": function, **members}
    return message(role="assistant", tool_calls=[tool_call])


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"model": None}, "model", "missing_required_parameter"),
        ({"messages": None}, "messages", "missing_required_parameter"),
        ({"model": 7}, "model", "invalid_type"),
        ({"model": ""}, "model", "invalid_value"),
        ({"model": "x" * 512}, "model", "invalid_value"),
        ({"messages": "Hi"}, "messages", "invalid_type"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": ["Hi"]}, "messages[0]", "invalid_type"),
        ({"messages": [{}]}, "messages[0].role", "missing_required_parameter"),
        (message(role=["user"]), "messages[0].role", "invalid_type"),
        (message(role="robot"), "messages[0].role", "invalid_value"),
        (message(content=None), "messages[0].content", "missing_required_parameter"),
        (
            message(role="tool"),
            "messages[0].tool_call_id",
            "missing_required_parameter",
        ),
        (
            message(role="function"),
            "messages[0].name",
            "missing_required_parameter",
        ),
        (message(content=3), "messages[0].content", "invalid_type"),
        (message(content=[]), "messages[0].content", "invalid_value"),
        (
            message(content=[{"type": "text", "text": ""}] * 1025),
            "messages[0].content",
            "invalid_value",
        ),
        (message(content=["Hi"]), "messages[0].content[0]", "invalid_type"),
        (message(content="\ud800"), "messages[0].content", "invalid_value"),
        (message(colour="red"), "messages[0].colour", "unknown_parameter"),
        (message(tool_calls=[]), "messages[0].tool_calls", "unknown_parameter"),
        (message(name=""), "messages[0].name", "invalid_value"),
        (
            message(role="assistant", audio={"id": "x"}),
            "messages[0].audio",
            "unsupported_parameter",
        ),
        (
            part(type="text"),
            "messages[0].content[0].text",
            "missing_required_parameter",
        ),
        (part(text="Hi"), "messages[0].content[0].type", "missing_required_parameter"),
        (
            part(type="image_url", image_url={"url": "x"}),
            "messages[0].content[0].image_url.url",
            "unsupported_parameter",
        ),
        (part(type="smell"), "messages[0].content[0].type", "invalid_value"),
        (part(type=["text"]), "messages[0].content[0].type", "invalid_type"),
        (
            part(type="text", text="Hi", cache_control={}),
            "messages[0].content[0].cache_control",
            "unsupported_parameter",
        ),
        (
            message(role="assistant", tool_calls="x"),
            "messages[0].tool_calls",
            "invalid_type",
        ),
        (
            message(role="assistant", tool_calls=[{}] * 129),
            "messages[0].tool_calls",
            "invalid_value",
        ),
        (call(id=""), "messages[0].tool_calls[0].id", "invalid_value"),
        (call(type="magic"), "messages[0].tool_calls[0].type", "invalid_value"),
        (
            call(function={"name": "f", "arguments": []}),
            "messages[0].tool_calls[0].function.arguments",
            "invalid_type",
        ),
        ({"temperature": "hot"}, "temperature", "invalid_type"),
        ({"temperature": True}, "temperature", "invalid_type"),
        ({"temperature": 2.1}, "temperature", "invalid_value"),
        ({"temperature": -0.1}, "temperature", "invalid_value"),
        ({"temperature": 10**40}, "temperature", "invalid_value"),
        ({"top_p": -0.1}, "top_p", "invalid_value"),
        ({"top_p": 1.01}, "top_p", "invalid_value"),
        ({"top_k": 1.5}, "top_k", "invalid_type"),
        ({"min_p": 2}, "min_p", "invalid_value"),
        ({"repeat_penalty": 0}, "repeat_penalty", "invalid_value"),
        ({"presence_penalty": 2.5}, "presence_penalty", "invalid_value"),
        ({"frequency_penalty": -2.5}, "frequency_penalty", "invalid_value"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"max_tokens": -2}, "max_tokens", "invalid_value"),
        ({"max_tokens": 1.0}, "max_tokens", "invalid_type"),
        ({"max_tokens": True}, "max_tokens", "invalid_type"),
        ({"max_tokens": 10**30}, "max_tokens", "invalid_value"),
        (
            {"max_tokens": 5, "max_completion_tokens": 6},
            "max_completion_tokens",
            "invalid_value",
        ),
        ({"n": 0}, "n", "invalid_value"),
        ({"n": 17}, "n", "invalid_value"),
        ({"seed": 2**63}, "seed", "invalid_value"),
        ({"stop": ""}, "stop", "invalid_value"),
        ({"stop": 5}, "stop", "invalid_type"),
        ({"stop": ["a", ""]}, "stop[1]", "invalid_value"),
        ({"stop": ["a"] * 17}, "stop", "invalid_value"),
        ({"logit_bias": 1}, "logit_bias", "invalid_type"),
        ({"logit_bias": {"1": 101}}, "logit_bias.1", "invalid_value"),
        ({"logit_bias": {"9999999999": 1}}, "logit_bias.9999999999", "invalid_value"),
        (
            {"logit_bias": {str(i): 1 for i in range(1025)}},
            "logit_bias",
            "invalid_value",
        ),
        ({"stream": "yes"}, "stream", "invalid_type"),
        ({"stream_options": {}}, "stream_options", "invalid_value"),
        ({"stream": True, "stream_options": 1}, "stream_options", "invalid_type"),
        (
            {"stream": True, "stream_options": {"include_obfuscation": True}},
            "stream_options.include_obfuscation",
            "unsupported_parameter",
        ),
        ({"user": 1}, "user", "invalid_type"),
        ({"tool_choice": "some"}, "tool_choice", "invalid_value"),
        ({"priority": 1.5}, "priority", "invalid_type"),
        ({"priority": -101}, "priority", "invalid_value"),
        ({"priority": 101}, "priority", "invalid_value"),
        ({"functions": [{"name": ""}]}, "functions[0].name", "invalid_value"),
        ({"function_call": {"name": "f"}}, "function_call", "invalid_value"),
        ({"metadata": ["a"]}, "metadata", "invalid_type"),
        ({"metadata": {"a": "b" * 20_000}}, "metadata", "invalid_value"),
        ({"colour": "red"}, "colour", "unknown_parameter"),
        ({"\ud800": 1}, "?", "unknown_parameter"),
        ({"c" * 500: 1}, "c" * 100 + "…", "unknown_parameter"),
    ],
)
async def test_a_bad_body_is_400_and_names_the_field(
    api: Api,
    engine: FakeEngineClient,
    body: dict[str, Any],
    param: str,
    code: str,
) -> None:
    response = await api.chat(**body)

    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, param)
    assert error["code"] == code
    assert error["type"] == "invalid_request_error"
    assert engine.requests == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b'{"model": "a", "model": "b"}',
        b'{"temperature": NaN}',
        b'{"temperature": -Infinity}',
        b'{"temperature": 1e999}',
        b'{"seed": ' + b"9" * 5000 + b"}",
        b'{"user": "\xff"}',
        b'\xef\xbb\xbf{"model": "a"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
async def test_a_body_that_is_no_json_object_is_400(api: Api, body: bytes) -> None:
    response = await api.post("/v1/chat/completions", body)

    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "body",
    [
        {"logprobs": False, "top_logprobs": 0, "store": False, "tools": []},
        {"tool_choice": "none", "parallel_tool_calls": True},
        {"tool_choice": "auto", "parallel_tool_calls": False},
        {"response_format": {"type": "text"}, "modalities": ["text"]},
        {"service_tier": "auto", "metadata": {}, "functions": []},
        {"service_tier": "default", "function_call": "none"},
        {"cache_prompt": True, "id_slot": -1, "user": "u"},
        {"max_tokens": 5, "max_completion_tokens": 5},
        {"top_k": -1, "stop": [], "logit_bias": {}},
        message(role="assistant", refusal=None, annotations=[], audio=None),
    ],
)
async def test_members_that_ask_for_nothing_are_let_in(
    api: Api, body: dict[str, Any]
) -> None:
    response = await api.chat(**body)

    assert response.status_code == 200, response.content


async def test_messages_about_limits_have_both_numbers(
    api: Api, configure: Callable[..., None]
) -> None:
    hi = {"role": "user", "content": "Hi"}
    many = await api.chat(messages=[hi] * 101)
    long = await api.chat(messages=[hi, {**hi, "content": "é" * 51_201}])
    total = await api.chat(messages=[{**hi, "content": "x" * 102_400}] * 11)
    configure(limits__max_messages=1)
    fewer = await api.chat(messages=[hi] * 2)

    def refusal_of(response: Any) -> tuple[Any, ...]:
        error = response.json()["error"]
        return response.status_code, error["code"], error["param"], error["message"]

    assert refusal_of(many) == (
        *(400, "too_many_messages", "messages"),
        "Too many messages: 101, and at most 100 are allowed.",
    )
    assert refusal_of(long) == (
        *(400, "message_too_long", "messages[1]"),
        "'messages[1]' has 102,402 bytes, and at most 102,400 are allowed.",
    )
    assert refusal_of(total) == (
        *(400, "content_too_long", "messages"),
        "'messages' has 1,126,400 bytes in all, and at most 1,048,576 are allowed.",
    )
    assert refusal_of(fewer)[1] == "too_many_messages"


async def test_a_body_that_is_not_declared_as_json_is_415(api: Api) -> None:
    for content_type in ("text/plain", "multipart/form-data; boundary=x", ""):
        response = await api.client.generic(
            *("POST", "/v1/chat/completions", b"{}"),
            content_type=content_type,
            headers=api.headers(),
        )
        assert response.status_code == 415
        assert response.json()["error"]["type"] == "invalid_request_error"


async def test_json_in_another_charset_is_415_and_in_utf_8_is_fine(api: Api) -> None:
    statuses = []
    for charset in ("latin-1", "utf-8", '"UTF-8"'):
        response = await api.client.generic(
            *("POST", "/v1/chat/completions", json.dumps(chat_body()).encode()),
            content_type=f"application/json; charset={charset}",
            headers=api.headers(),
        )
        statuses.append(response.status_code)

    assert statuses == [415, 200, 200]


async def test_a_body_that_is_too_large_is_413(api: Api, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 500
    body = json.dumps(chat_body(user="x" * 500)).encode()
    request = AsyncRequestFactory().generic(
        *("POST", "/v1/chat/completions", body),
        content_type="application/json",
        headers=api.headers(),
    )
    # What a body in chunks looks like.
    del request.META["CONTENT_LENGTH"]

    declared = await api.post("/v1/chat/completions", body)
    undeclared = await call_view(request)

    for response in (declared, undeclared):
        error = json.loads(response.content)["error"]
        assert (response.status_code, error["code"]) == (413, "request_too_large")
        assert "500 bytes" in error["message"]


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
async def test_another_method_is_405_and_the_right_one_is_named(
    api: Api, method: str
) -> None:
    response = await api.client.generic(method, "/v1/chat/completions")

    assert (response.status_code, response["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    ("path", "right"),
    [
        ("/v1/nothing", "under /v1"),
        ("/nothing", "under /v1"),
        ("/v1", "under /v1"),
        ("/v1/a%0Ab", "under /v1"),
        ("/a%0Ab/", "under /v1"),
        ("/v1/chat/completions/", "Use /v1/chat/completions."),
        ("/v1/chat/completions%0A", "Use /v1/chat/completions."),
        ("/v1/models/", "Use /v1/models."),
        ("/v1/v1/chat/completions", "Use /v1/chat/completions."),
        ("/api/v1/chat/completions", "Use /v1/chat/completions."),
        ("/openai/deployments/m/chat/completions", "Use /v1/chat/completions."),
        ("/api/v1/models/tiny", "Use /v1/models/tiny."),
        ("/v1/chat/completion", "Use /v1/chat/completions."),
        ("/v1/embedings", "Use /v1/embeddings."),
        ("/v1/response", "Use /v1/responses."),
        ("/v1/audio/speech", "a part of type input_audio in a chat."),
        ("/v1/images/generations", "No model here draws."),
        ("/moderations", "No model here moderates."),
        ("/v1/message", "Use /v1/messages."),
        ("/api/generate", "Use /v1/completions."),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_an_unknown_route_is_404_in_json_and_names_the_right_one(
    api: Api, path: str, right: str, method: str
) -> None:
    response = await api.client.generic(method, path)

    error = response.json()["error"]
    assert response.status_code == 404
    assert response["content-type"] == "application/json"
    assert error["code"] == "unknown_url"
    assert right in error["message"]


async def test_a_base_url_without_v1_has_the_same_routes(api: Api) -> None:
    body = chat_body()
    tokens = {"model": "tiny", "content": "a"}
    for path, payload in (
        ("/chat/completions", body),
        ("/completions", {"model": "tiny", "prompt": "Hi"}),
        ("/tokenize", tokens),
        ("/apply-template", {"model": "tiny", "messages": body["messages"]}),
    ):
        answers = [await api.post(at, payload) for at in (path, f"/v1{path}")]
        assert [each.status_code for each in answers] == [answers[1].status_code] * 2
        assert answers[0].json().keys() == answers[1].json().keys()
    for path in ("/models", "/models/tiny"):
        without, under = await api.get(path), await api.get(f"/v1{path}")
        assert without.status_code == under.status_code == 200
        assert without.json() == under.json()
    assert (await api.client.get("/models")).status_code == 401


async def test_a_model_whose_name_has_a_line_break_is_404(api: Api) -> None:
    response = await api.get("/v1/models/a%0Ab")

    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"


async def test_the_pages_keep_their_own_404_and_slashes(api: Api) -> None:
    redirected = await api.client.get("/admin")

    assert (redirected.status_code, redirected["location"]) == (301, "/admin/")


async def test_an_unknown_model_is_404(api: Api) -> None:
    await sync_to_async(make_model)("off", is_enabled=False)
    await sync_to_async(make_model)("gone", state=FileState.MISSING)
    for name in ("no-such-model", "off", "gone", "tin", "TINY", "ti\x00ny"):
        response = await api.chat(model=name)
        assert (response.status_code, response.json()["error"]["code"]) == (
            *(404, "model_not_found"),
        )


@pytest.mark.parametrize(
    ("kind", "architecture", "words"),
    [
        (Kind.DRAFT_HEAD, "eagle3", "draft head"),
        (Kind.VOICE, "wavtokenizer-dec", "sound"),
        (Kind.PROJECTOR, "clip", "vision projector"),
        (Kind.LORA, "llama", "LoRA adapter"),
        (Kind.UNSUPPORTED, "llama9", "does not know the architecture 'llama9'"),
    ],
)
async def test_a_part_of_a_model_is_400_and_says_what_it_is(
    api: Api, kind: Kind, architecture: str, words: str
) -> None:
    await sync_to_async(make_model)("part", kind=kind, architecture=architecture)

    response = await api.chat(model="part")

    assert response.status_code == 400
    assert response.json()["error"]["code"] == "model_not_served"
    assert words in response.json()["error"]["message"]


@pytest.mark.parametrize("asked", ["\u00e9", "e\u0301"])
@pytest.mark.parametrize("stored", ["\u00e9", "e\u0301"])
async def test_a_name_is_found_in_either_normal_form(
    api: Api, asked: str, stored: str
) -> None:
    await sync_to_async(make_model)(stored, kind=Kind.EMBEDDING)

    response = await api.chat(model=asked)

    # It is found, and is no chat model.
    assert response.json()["error"]["code"] == "model_not_generative"


async def test_a_model_that_cannot_chat_is_400_with_a_hint(api: Api) -> None:
    await sync_to_async(make_model)("vectors", kind=Kind.EMBEDDING)
    await sync_to_async(make_model)("base", kind=Kind.COMPLETION)

    embedding = await api.chat(model="vectors")
    base = await api.chat(model="base")

    assert (embedding.status_code, base.status_code) == (400, 400)
    assert embedding.json()["error"]["code"] == "model_not_generative"
    assert "embeddings" in embedding.json()["error"]["message"]
    assert base.json()["error"]["code"] == "no_chat_template"
    assert "/v1/completions" in base.json()["error"]["message"]
    assert (await api.complete(model="base")).status_code == 200


async def test_what_a_template_refuses_is_400_with_its_words(api: Api) -> None:
    template = "{{ raise_exception('System role not supported') }}"
    await sync_to_async(make_model)("strict", chat_template=template)

    response = await api.chat(model="strict")

    assert response.status_code == 400
    assert "System role not supported" in response.json()["error"]["message"]


def test_a_load_that_failed_names_the_file_and_not_its_folder() -> None:
    error = ModelLoadFailed("llama.cpp cannot open '/srv/secret place/a.gguf'.")

    assert failure_of(error).message == "llama.cpp cannot open 'a.gguf'."
