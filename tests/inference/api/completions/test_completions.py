"""POST /v1/completions without stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes import begun, finished, tokens

if TYPE_CHECKING:
    from inference.transport.messages.events import Event
    from tests.fakes import FakeEngineClient
    from tests.inference.api.conftest import Api


async def test_an_answer_has_openais_shape(api: Api, engine: FakeEngineClient) -> None:
    body = (await api.complete()).json()

    assert body.pop("id").startswith("cmpl-")
    assert isinstance(body.pop("created"), int)
    assert body.pop("system_fingerprint").startswith("fp_")
    assert body == {
        "object": "text_completion",
        "model": "tiny",
        "choices": [
            {
                "index": 0,
                "text": "Hello world",
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
    [request] = engine.requests
    assert (request.prompt, request.add_special_tokens, request.params.max_tokens) == (
        "Once",
        True,
        16,
    )


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        ("", [""]),
        (["a", "b"], ["a", "b"]),
        ([1, 2, 3], [[1, 2, 3]]),
        ([[1], [2, 3]], [[1], [2, 3]]),
    ],
)
async def test_a_prompt_is_text_or_tokens_or_several(
    api: Api, engine: FakeEngineClient, prompt: Any, prompts: list[Any]
) -> None:
    response = await api.complete(prompt=prompt)

    assert response.status_code == 200
    assert [
        request.prompt_token_ids or request.prompt for request in engine.requests
    ] == prompts


async def test_answers_are_ordered_by_prompt_and_every_prompt_is_counted_once(
    api: Api, engine: FakeEngineClient
) -> None:
    for number in range(4):
        text: list[Event] = [
            tokens(str(number)),
            finished(prompt=10, completion=1, cached=number),
        ]
        engine.enqueue(begun(10), text)

    body = (await api.complete(prompt=["a", "b"], n=2)).json()

    assert [choice["text"] for choice in body["choices"]] == ["0", "1", "2", "3"]
    assert [request.prompt for request in engine.requests] == ["a", "a", "b", "b"]
    assert body["usage"] == {
        "prompt_tokens": 20,
        "completion_tokens": 4,
        "total_tokens": 24,
        "prompt_tokens_details": {"cached_tokens": 2},
    }


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"prompt": None}, "prompt", "missing_required_parameter"),
        ({"prompt": []}, "prompt", "invalid_value"),
        ({"prompt": [[]]}, "prompt[0]", "invalid_value"),
        ({"prompt": 7}, "prompt", "invalid_type"),
        ({"prompt": {"a": 1}}, "prompt", "invalid_type"),
        ({"prompt": [None]}, "prompt[0]", "invalid_type"),
        ({"prompt": ["a", 1]}, "prompt[1]", "invalid_type"),
        ({"prompt": [1, True]}, "prompt[1]", "invalid_type"),
        ({"prompt": [1, -1]}, "prompt[1]", "invalid_value"),
        ({"prompt": [[1], ["a"]]}, "prompt[1][0]", "invalid_type"),
        ({"prompt": [2**31]}, "prompt[0]", "invalid_value"),
        ({"prompt": ["a"] * 101}, "prompt", "too_many_prompts"),
        ({"prompt": [[1]] * 101}, "prompt", "too_many_prompts"),
        ({"prompt": [["a"]]}, "prompt[0][0]", "invalid_type"),
        ({"prompt": [[1], "a"]}, "prompt[1]", "invalid_type"),
        ({"prompt": [1] * 900_000}, "prompt", "message_too_long"),
        ({"prompt": [1] * 1_000_000}, None, "too_many_values"),
        ({"prompt": ["a"] * 65, "n": 2}, "n", "invalid_value"),
        ({"prompt": "x" * 102_401}, "prompt", "message_too_long"),
        ({"prompt": ["x", "x" * 102_401]}, "prompt[1]", "message_too_long"),
        ({"prompt": ["x" * 102_400] * 11}, "prompt", "content_too_long"),
        ({"prompt": [1] * 25_601}, "prompt", "message_too_long"),
        ({"suffix": "end"}, "suffix", "unsupported_parameter"),
        ({"messages": []}, "messages", "unknown_parameter"),
        ({"max_completion_tokens": 5}, "max_completion_tokens", "unknown_parameter"),
    ],
)
async def test_a_bad_body_is_400_and_names_the_field(
    api: Api,
    engine: FakeEngineClient,
    body: dict[str, Any],
    param: str | None,
    code: str,
) -> None:
    response = await api.complete(**body)

    error = response.json()["error"]
    assert (response.status_code, error["param"], error["code"]) == (400, param, code)
    assert error["type"] == "invalid_request_error"
    assert engine.requests == []


async def test_members_that_ask_for_nothing_are_let_in(api: Api) -> None:
    response = await api.complete(best_of=1, echo=False, suffix="", logprobs=None)

    assert response.status_code == 200
