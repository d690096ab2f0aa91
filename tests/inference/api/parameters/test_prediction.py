"""A prediction of the answer, and its accepted and rejected tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes import begun, finished, tokens
from tests.inference.api.conftest import Api, events_of, read_stream

if TYPE_CHECKING:
    from inference.engine.output import SequenceOutput
    from tests.fakes import FakeEngineClient


def predicted(accepted: int, rejected: int) -> SequenceOutput:
    """Return an end after drafts of a prediction, and of the engine: 5 of 8 right."""
    return finished(
        num_drafted=accepted + rejected + 8,
        num_accepted=accepted + 5,
        num_predicted=accepted + rejected,
        num_predicted_right=accepted,
    )


@pytest.mark.parametrize(
    "content",
    ["Hello world", [{"type": "text", "text": "Hello world"}]],
    ids=["text", "parts"],
)
async def test_a_prediction_goes_to_the_engine(
    api: Api, engine: FakeEngineClient, content: Any
) -> None:
    response = await api.chat(prediction={"type": "content", "content": content})
    assert response.status_code == 200
    assert engine.requests[0].prediction == "Hello world"


@pytest.mark.parametrize(
    ("prediction", "param"),
    [
        ("Hello", "prediction"),
        ({"type": "content"}, "prediction.content"),
        ({"type": "guess", "content": "a"}, "prediction.type"),
        ({"type": "content", "content": 3}, "prediction.content"),
        ({"type": "content", "content": "a", "x": 1}, "prediction.x"),
    ],
)
async def test_a_broken_prediction_is_refused_by_name(
    api: Api, prediction: Any, param: str
) -> None:
    response = await api.chat(prediction=prediction)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


async def test_predicted_tokens_are_counted_in_the_usage(
    api: Api, engine: FakeEngineClient
) -> None:
    for _ in range(2):
        engine.enqueue(begun(), [tokens("Hello"), predicted(7, 2)])
    body = (await api.chat(n=2)).json()
    assert body["usage"]["completion_tokens_details"] == {
        "accepted_prediction_tokens": 14,
        "rejected_prediction_tokens": 4,
        "accepted_draft_tokens": 10,
        "rejected_draft_tokens": 6,
    }


async def test_the_engines_own_drafts_are_no_predicted_tokens(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.enqueue(begun(), [tokens("Hello"), predicted(0, 0)])
    body = (await api.chat()).json()
    assert body["usage"]["completion_tokens_details"] == {
        "accepted_draft_tokens": 5,
        "rejected_draft_tokens": 3,
    }


async def test_a_stream_reports_them_too(api: Api, engine: FakeEngineClient) -> None:
    engine.enqueue(begun(), [tokens("Hello"), predicted(0, 2)])
    options = {"include_usage": True}
    response = await api.chat(stream=True, stream_options=options)
    *_, last, _ = events_of(await read_stream(response))
    assert last["usage"]["completion_tokens_details"] == {
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 2,
        "accepted_draft_tokens": 5,
        "rejected_draft_tokens": 3,
    }
