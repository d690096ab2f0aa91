"""POST /v1/chat/completions without stream."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.test import AsyncRequestFactory
from django.test.utils import CaptureQueriesContext

from inference.api.chat.view import ChatCompletionsView
from inference.api.view import ApiView
from inference.engine.sampling.params import SamplingParams
from inference.transport.queue import ModelQueue
from registry.models import Model
from tests.factories import make_api_key, make_model
from tests.fakes import begun, finished, tokens
from tests.inference.api.conftest import Api, call_view, chat_body

if TYPE_CHECKING:
    from collections.abc import Callable

    from accounts.models import ApiKey
    from tests.fakes import FakeEngineClient


async def test_an_answer_has_openais_shape(api: Api) -> None:
    response = await api.chat()

    body = response.json()
    assert response.status_code == 200
    assert response["content-type"] == "application/json"
    assert re.fullmatch(r"chatcmpl-[0-9a-f]{32}", body.pop("id"))
    assert isinstance(body.pop("created"), int)
    fingerprint = body.pop("system_fingerprint")
    assert fingerprint.startswith("fp_")
    assert "deterministic" not in fingerprint
    assert body == {
        "object": "chat.completion",
        "model": "tiny",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Hello world",
                    "refusal": None,
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 5,
            "completion_tokens": 2,
            "total_tokens": 7,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
    }


async def test_the_fingerprint_says_that_answers_are_deterministic(api: Api) -> None:
    await Model.objects.filter(name="tiny").aupdate(deterministic=True)
    body = (await api.chat()).json()
    assert body["system_fingerprint"].endswith("-deterministic")


async def test_the_job_is_the_rendered_conversation_with_the_models_defaults(
    api: Api, engine: FakeEngineClient, model: Model, key: tuple[ApiKey, str]
) -> None:
    await api.chat()

    [request] = engine.requests
    assert request.prompt == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert request.params == SamplingParams(temperature=0.7, top_p=0.9, max_tokens=4096)
    assert request.add_special_tokens
    assert (request.owner, request.key) == (str(key[0].owner_id), key[0].prefix)
    assert (request.weight, request.priority) == (1, 0)
    assert engine.queues == [ModelQueue(model.pk, "tiny", timeout_s=300)]
    assert engine.streams[0].is_closed


async def test_every_sampling_parameter_reaches_the_engine(
    api: Api, engine: FakeEngineClient
) -> None:
    await api.chat(
        temperature=0,
        top_p=0.5,
        top_k=7,
        min_p=0.1,
        repeat_penalty=1.2,
        presence_penalty=-2,
        frequency_penalty=2,
        logit_bias={"17": -100, "3": 1.5},
        seed=42,
        max_completion_tokens=9,
        stop=["END", "\n"],
        user="someone",
    )

    assert engine.requests[0].params == SamplingParams(
        temperature=0.0,
        top_p=0.5,
        top_k=7,
        min_p=0.1,
        repeat_penalty=1.2,
        presence_penalty=-2.0,
        frequency_penalty=2.0,
        logit_bias=((17, -100.0), (3, 1.5)),
        seed=42,
        max_tokens=9,
        stop=("END", "\n"),
    )


async def test_the_models_row_comes_before_the_configuration(
    api: Api, engine: FakeEngineClient
) -> None:
    row: dict[str, Any] = {
        "temperature": 0.0,
        "top_p": 0.3,
        "top_k": 5,
        "min_p": 0.2,
        "max_tokens": 11,
    }
    await sync_to_async(make_model)("own", chat_template="x", repeat_penalty=1.3, **row)

    await api.chat(model="own")

    assert engine.requests[0].params == SamplingParams(repeat_penalty=1.3, **row)


async def test_n_answers_come_in_order_and_the_prompt_is_counted_once(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.enqueue(begun(), [tokens("first")], 0.05, [finished(cached=0)])
    engine.enqueue(begun(), [tokens("second"), finished("length", cached=4)])

    body = (await api.chat(n=2, seed=7)).json()

    answers = [
        (choice["index"], choice["message"]["content"], choice["finish_reason"])
        for choice in body["choices"]
    ]
    assert answers == [(0, "first", "stop"), (1, "second", "length")]
    assert body["usage"] == {
        "prompt_tokens": 5,
        "completion_tokens": 4,
        "total_tokens": 9,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    assert [request.params.seed for request in engine.requests] == [7, 8]
    assert all(stream.is_closed for stream in engine.streams)


@pytest.mark.parametrize("name", ["tiny", "tiny.gguf"])
async def test_a_model_is_found_by_id_and_by_file_name(api: Api, name: str) -> None:
    response = await api.chat(model=name)

    assert (response.status_code, response.json()["model"]) == (200, "tiny")


async def test_nulls_count_as_not_given(api: Api) -> None:
    nulls = dict.fromkeys(["temperature", "stop", "n", "stream", "tools", "logprobs"])

    assert (await api.chat(**nulls)).status_code == 200


async def test_a_chat_with_tool_calls_in_its_past_goes_to_the_template(
    api: Api, engine: FakeEngineClient
) -> None:
    template = (
        "{% for m in messages %}[{{ m.role }}|{{ m.content }}|{{ m.tool_call_id }}"
        "{% for call in m.tool_calls %}{{ call.function.arguments | tojson }}"
        "{% endfor %}]{% endfor %}"
    )
    await sync_to_async(make_model)("tooled", chat_template=template)
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city": "Paris"}'},
    }

    await api.chat(
        model="tooled",
        messages=[
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "sunny", "tool_call_id": "call_1"},
        ],
    )

    assert engine.requests[0].prompt == (
        '[system|Be kind.|][user|Hi|][assistant||{"city": "Paris"}][tool|sunny|call_1]'
    )


async def test_an_answer_that_takes_too_long_is_408_and_gives_its_sequence_up(
    api: Api, engine: FakeEngineClient, configure: Callable[..., None]
) -> None:
    configure(server__request_timeout=1)
    engine.enqueue(begun())

    response = await api.chat()

    assert response.status_code == 408
    assert response.json()["error"]["code"] == "request_timeout"
    assert engine.streams[0].is_closed


async def test_a_client_that_goes_away_closes_all_streams(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.enqueue(begun())
    engine.enqueue(begun())
    request = asyncio.create_task(api.chat(n=2))
    await engine.has_streams(2)

    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request

    assert [stream.is_closed for stream in engine.streams] == [True, True]


async def test_a_sequence_that_fails_closes_the_others(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.enqueue(begun())
    engine.refuse(RuntimeError("secret detail"), after=1)

    response = await api.chat(n=2)

    assert response.status_code == 500
    assert "secret" not in response.content.decode()
    assert engine.streams[0].is_closed


async def test_a_chat_needs_five_queries(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries: list[dict[str, Any]] = []

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def count(*args: Any) -> Any:
            with CaptureQueriesContext(connection) as captured:
                result = call(*args)
            queries.extend(captured.captured_queries)
            return result

        return count

    monkeypatch.setattr(ApiView, "admit", counted(ApiView.admit))
    monkeypatch.setattr(
        ChatCompletionsView, "prepare", counted(ChatCompletionsView.prepare)
    )
    await api.chat()

    assert [re.findall(r'FROM "(\w+)"', query["sql"])[-1] for query in queries] == [
        "accounts_apikey",  # The key with its owner.
        "registry_model",  # Which models the key is restricted to,
        "accounts_limit",  # what limits hold for it,
        "registry_model",  # and the model that is named,
        "registry_contexttest",  # with its largest tested context.
    ]


async def test_a_key_learns_nothing_of_a_model_that_it_may_not_use(
    api: Api, engine: FakeEngineClient
) -> None:
    def charlies_key() -> str:
        _, secret = make_api_key(models=[make_model("his", chat_template="x")])
        return secret

    charlie = Api(await sync_to_async(charlies_key)())

    foreign = await charlie.chat(model="tiny")
    imagined = await charlie.chat(model="no-such-model")

    assert (await charlie.chat(model="his")).status_code == 200
    assert foreign.status_code == imagined.status_code == 403
    assert foreign.json()["error"]["code"] == "model_not_allowed"
    assert foreign.content.replace(b"tiny", b"?") == imagined.content.replace(
        b"no-such-model", b"?"
    )
    assert [queue.model_name for queue in engine.queues] == ["his"]


async def test_no_body_is_needed_to_be_refused(api: Api) -> None:
    response = await api.client.post("/v1/chat/completions")

    assert response.status_code == 401
    assert response["www-authenticate"] == "Bearer"


async def test_a_body_in_chunks_without_a_length_is_read(api: Api) -> None:
    request = AsyncRequestFactory().generic(
        "POST",
        "/v1/chat/completions",
        json.dumps(chat_body()).encode(),
        content_type="application/json",
        headers=api.headers(),
    )
    del request.META["CONTENT_LENGTH"]

    response = await call_view(request)

    assert response.status_code == 200
