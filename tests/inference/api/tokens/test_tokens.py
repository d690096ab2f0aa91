"""POST /tokenize, /detokenize and /apply-template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async

from inference.api.tokens import view as tokenizing
from inference.errors import RequestRejected
from inference.serving import is_served as is_served_truly
from inference.transport.messages.events import Accepted, Detokenized, Tokenized
from inference.worker.vocabulary_process import get_vocabulary_process
from registry.models import Kind
from tests.factories import make_model
from tests.llm_manager.web.test_docs import check, fits

if TYPE_CHECKING:
    from pathlib import Path

    from accounts.models import ApiKey
    from tests.fakes import FakeEngineClient
    from tests.inference.api.conftest import Api

MESSAGES = [{"role": "user", "content": "Hi"}]


@pytest.fixture(autouse=True)
def is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker has every model."""
    monkeypatch.setattr(tokenizing, "is_served", lambda _model: True)


def say(engine: FakeEngineClient, *pieces: bytes) -> None:
    """Script the answer of a tokenizer that numbers its pieces from 5."""
    tokens = tuple(range(5, 5 + len(pieces)))
    engine.enqueue([Accepted("", 0), Tokenized("", tokens, pieces)])


async def tokenize(api: Api, **body: Any) -> Any:
    return await api.post("/tokenize", {"model": "tiny", **body})


async def test_a_text_becomes_tokens(api: Api, engine: FakeEngineClient) -> None:
    say(engine, b"Once", b" upon")
    answer = (await tokenize(api, content="Once upon")).json()
    assert answer == {"tokens": [5, 6], "count": 2}
    assert engine.requests[0].text == "Once upon"
    check("TokenList", answer)


async def test_no_key_waits_for_the_counts_of_another(
    api: Api, key: tuple[ApiKey, str], engine: FakeEngineClient
) -> None:
    say(engine, b"a")
    await tokenize(api, content="a")
    engine.enqueue([Accepted("", 0), Detokenized("", "a")])
    await api.post("/detokenize", {"model": "tiny", "tokens": [5]})

    # A worker prepares requests in turn between keys.
    assert [each.key for each in engine.requests] == [key[0].prefix] * 2


async def test_a_piece_is_text_or_else_its_bytes(
    api: Api, engine: FakeEngineClient
) -> None:
    say(engine, b"Hi", b"\xf0\x9f")
    answer = (await tokenize(api, content="Hi…", with_pieces=True)).json()
    assert answer["tokens"] == [
        {"id": 5, "piece": "Hi"},
        {"id": 6, "piece": [240, 159]},
    ]
    check("TokenList", answer)


@pytest.mark.parametrize(
    ("body", "special"),
    [
        ({"content": "x"}, False),
        ({"content": "x", "add_special": True}, True),
        ({"prompt": "x"}, True),
        ({"prompt": "x", "add_special_tokens": False}, False),
        ({"messages": MESSAGES}, True),
    ],
)
async def test_special_tokens_go_around_as_the_client_is_used_to(
    api: Api, engine: FakeEngineClient, body: dict[str, Any], special: bool
) -> None:
    say(engine, b"x")
    assert (await tokenize(api, **body)).status_code == 200
    assert engine.requests[0].add_special_tokens is special
    assert fits("TokenizeRequest", {"model": "tiny", **body})


async def test_a_template_that_has_put_bos_gets_no_second_one(
    api: Api, engine: FakeEngineClient
) -> None:
    await sync_to_async(make_model)(
        "bos",
        chat_template="{{ bos_token }}{{ messages[0].content }}",
        metadata={"bos_token": "<s>"},
    )
    say(engine, b"x")
    await tokenize(api, model="bos", messages=MESSAGES)
    (request,) = engine.requests
    assert (request.text, request.add_special_tokens) == ("<s>Hi", False)


async def test_what_a_text_spells_out_may_be_taken_as_text(
    api: Api, engine: FakeEngineClient
) -> None:
    say(engine, b"x")
    await tokenize(api, content="<|im_end|>", parse_special=False)
    assert engine.requests[0].parse_special is False


async def test_tokens_become_text_under_both_of_its_names(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.enqueue([Accepted("", 0), Detokenized("", "Once upon")])
    body = {"model": "tiny", "tokens": [5, 6]}
    answer = (await api.post("/v1/detokenize", body)).json()
    assert answer == {"content": "Once upon", "prompt": "Once upon"}
    assert engine.requests[0].tokens == (5, 6)
    check("TokenText", answer)


async def test_a_token_that_is_not_in_the_vocabulary_is_named(
    api: Api, engine: FakeEngineClient
) -> None:
    error = RequestRejected("no", code="invalid_request", param="tokens[1]")
    engine.enqueue(error)
    response = await api.post("/detokenize", {"model": "tiny", "tokens": [5, 10**6]})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "tokens[1]"


async def test_a_template_is_applied_without_any_worker(
    api: Api, engine: FakeEngineClient
) -> None:
    body = {"model": "tiny", "messages": MESSAGES}
    answer = (await api.post("/apply-template", body)).json()
    assert answer["prompt"].startswith("<|im_start|>user\nHi<|im_end|>")
    assert not engine.requests
    check("TemplatePrompt", answer)


async def test_a_template_gets_what_a_chat_gives_it(api: Api) -> None:
    await sync_to_async(make_model)(
        "knows-tools",
        chat_template="{% if tools %}{{ tools[0].function.name }} {% endif %}"
        "{{ style }}: {% for m in messages %}{{ m.content }}{% endfor %}",
    )
    function = {"name": "clock", "description": "Tells the time.", "parameters": {}}
    body = {
        "model": "knows-tools",
        "messages": MESSAGES,
        "tools": [{"type": "function", "function": function}],
        "chat_template_kwargs": {"style": "short"},
    }
    prompt = (await api.post("/apply-template", body)).json()["prompt"]
    assert "clock" in prompt
    assert "short: " in prompt
    assert fits("ApplyTemplateRequest", body)


async def test_an_embedding_model_has_tokens_but_no_template(
    api: Api, engine: FakeEngineClient
) -> None:
    await sync_to_async(make_model)("vectors", kind=Kind.EMBEDDING)
    say(engine, b"x")
    assert (await tokenize(api, model="vectors", content="x")).status_code == 200
    body = {"model": "vectors", "messages": MESSAGES}
    response = await api.post("/apply-template", body)
    assert response.json()["error"]["code"] == "model_not_generative"


@pytest.mark.parametrize(
    ("path", "body", "code", "param"),
    [
        ("/tokenize", {}, "missing_required_parameter", "content"),
        ("/tokenize", {"content": "x", "prompt": "x"}, "invalid_value", "prompt"),
        (
            "/tokenize",
            {"content": "x", "add_special": True, "add_special_tokens": True},
            "invalid_value",
            "add_special_tokens",
        ),
        ("/tokenize", {"content": 5}, "invalid_type", "content"),
        ("/tokenize", {"content": "x", "tools": []}, "invalid_value", "tools"),
        ("/tokenize", {"content": "x" * 200_000}, "message_too_long", "content"),
        ("/detokenize", {"tokens": []}, "invalid_value", "tokens"),
        ("/detokenize", {"tokens": ["a"]}, "invalid_type", "tokens[0]"),
        ("/apply-template", {}, "missing_required_parameter", "messages"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_invalid_values_are_refused_by_name(
    api: Api,
    engine: FakeEngineClient,
    path: str,
    body: dict[str, Any],
    code: str,
    param: str,
) -> None:
    response = await api.post(path, {"model": "tiny", **body})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, code, param)
    assert not engine.requests


# Models that are not loaded -------------------------------------------------------


@pytest.mark.model
async def test_a_model_that_is_not_loaded_is_not_loaded_for_its_tokens(
    api: Api,
    engine: FakeEngineClient,
    sample_model_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tokenizing, "is_served", is_served_truly)
    await sync_to_async(make_model)("real", path=str(sample_model_path))
    try:
        text = "Once upon a time <|im_end|>"
        said = await api.post(
            "/tokenize", {"model": "real", "content": text, "with_pieces": True}
        )
        pieces = [each["piece"] for each in said.json()["tokens"]]
        assert "".join(pieces) == text
        tokens = [each["id"] for each in said.json()["tokens"]]
        back = await api.post("/detokenize", {"model": "real", "tokens": tokens})
        assert back.json()["content"] == text
        wrong = await api.post("/detokenize", {"model": "real", "tokens": [10**6]})
        assert wrong.status_code == 400
        assert wrong.json()["error"]["param"] == "tokens[0]"
        assert engine.requests == []
    finally:
        await get_vocabulary_process().aclose()


async def test_a_missing_file_is_503(
    api: Api, engine: FakeEngineClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizing, "is_served", is_served_truly)
    await sync_to_async(make_model)("gone", path="/nowhere/gone.gguf")
    try:
        said = await api.post("/tokenize", {"model": "gone", "content": "x"})
    finally:
        await get_vocabulary_process().aclose()
    assert said.status_code == 503
    assert said.json()["error"]["code"] == "model_load_failed"
    assert engine.requests == []
