"""Prompts that can never fit: refused before they are queued."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from asgiref.sync import sync_to_async

from tests.factories import make_model
from tests.inference.api.conftest import CHATML

if TYPE_CHECKING:
    from tests.fakes import FakeEngineClient
    from tests.inference.api.conftest import Api

_CONTEXT = 1000


@pytest.fixture
async def small(api: Api) -> None:
    """A model with a small context."""
    await sync_to_async(make_model)("small", chat_template=CHATML, n_ctx=_CONTEXT)


async def test_a_prompt_far_over_the_context_is_refused_without_a_worker(
    small: None, api: Api, engine: FakeEngineClient
) -> None:
    text = "word " * 10 * _CONTEXT
    chat = await api.chat(model="small", messages=[{"role": "user", "content": text}])
    completion = await api.complete(model="small", prompt=["Hi", text], stream=True)
    counted = await api.complete(model="small", prompt=[7] * _CONTEXT)

    for response, param in ((chat, "messages"), (completion, "prompt")):
        error = response.json()["error"]
        assert (response.status_code, error["param"]) == (400, param)
        assert error["code"] == "context_length_exceeded"
        assert f"maximum context length is {_CONTEXT} tokens" in error["message"]
        assert "about " in error["message"]
    assert f"has {_CONTEXT} tokens." in counted.json()["error"]["message"]
    assert engine.requests == []


@pytest.mark.parametrize("text", ["word " * 2 * _CONTEXT, "a" * 6 * _CONTEXT])
async def test_what_might_fit_is_left_to_a_worker_that_counts(
    small: None, api: Api, engine: FakeEngineClient, text: str
) -> None:
    response = await api.complete(model="small", prompt=text)

    assert response.status_code == 200
    assert len(engine.requests) == 1
