"""Ollama's own package for Python, unchanged."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import ollama
import pytest

from tests.clients.client import FOLDER_MODEL, MODEL, Client
from tests.clients.subjects import CAPITAL, PERSON, STORY, WEATHER, Person, said

if TYPE_CHECKING:
    from tests.whole_server import Server

CLIENT = Client(
    "ollama",
    ("ollama",),
    """
    from ollama import Client

    client = Client(
        host="http://localhost:8000", headers={"Authorization": "Bearer YOUR_KEY"}
    )
    """,
    note="The server's configuration needs `api.ollama`. `AsyncClient` is set up the "
    "same way.",
)
GREEDY = {"temperature": 0, "num_predict": 64}


@pytest.fixture
def client(names: dict[str, Any]) -> Any:
    """The client."""
    return names["client"]


def get_weather(city: str) -> str:
    """Tell the weather of a city.

    Args:
        city: The name of the city.
    """
    return f"Sunny in {city}."


def test_a_chat_is_answered_with_counts_and_durations(client: Any) -> None:
    answer = client.chat(MODEL, said(CAPITAL), options=GREEDY)
    assert "Paris" in answer.message.content
    assert (answer.done, answer.done_reason) == (True, "stop")
    assert answer.prompt_eval_count > 5
    assert answer.eval_count > 0
    assert answer.total_duration >= answer.eval_duration > 0


def test_a_stream_gives_the_same_answer(client: Any) -> None:
    whole = client.chat(MODEL, said(CAPITAL), options=GREEDY)
    parts = list(client.chat(MODEL, said(CAPITAL), options=GREEDY, stream=True))
    assert "".join(part.message.content for part in parts) == whole.message.content
    assert [part.done for part in parts].count(True) == 1
    assert parts[-1].eval_count == whole.eval_count


async def test_the_asynchronous_client_streams(server: Server) -> None:
    client = ollama.AsyncClient(
        host=f"http://{server.host}:{server.port}",
        headers={"Authorization": f"Bearer {server.key}"},
    )
    stream = await client.generate(
        MODEL, STORY, stream=True, options={"num_predict": 8}
    )
    parts = [part async for part in stream]
    assert (parts[-1].done, parts[-1].done_reason) == (True, "length")
    assert "".join(part.response for part in parts)


def test_a_prompt_is_answered_and_a_raw_one_continued(client: Any) -> None:
    answered = client.generate(MODEL, CAPITAL, options=GREEDY)
    assert "Paris" in answered.response
    raw = client.generate(MODEL, "The capital of France is", raw=True, options=GREEDY)
    assert raw.response
    assert raw.prompt_eval_count < answered.prompt_eval_count


def test_the_answer_matches_a_pydantic_schema(client: Any) -> None:
    answer = client.chat(
        MODEL, said(PERSON), format=Person.model_json_schema(), options=GREEDY
    )
    assert Person.model_validate_json(answer.message.content).age >= 0


def test_the_answer_is_json(client: Any) -> None:
    answer = client.chat(
        MODEL, said(PERSON), format="json", options={**GREEDY, "num_predict": 400}
    )
    if answer.done_reason == "stop":
        assert isinstance(json.loads(answer.message.content), dict)


def test_a_python_function_is_a_tool_whose_result_is_read(client: Any) -> None:
    turns = [
        *said(WEATHER),
        ollama.Message(
            role="assistant",
            tool_calls=[
                {"function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
            ],
        ),
        {"role": "tool", "tool_name": "get_weather", "content": get_weather("Paris")},
    ]
    answer = client.chat(MODEL, turns, tools=[get_weather], options=GREEDY)
    assert answer.message.content or answer.message.tool_calls


def test_the_models_are_listed_described_and_loaded(client: Any) -> None:
    names = {model.model for model in client.list().models}
    assert {MODEL, FOLDER_MODEL} <= names
    shown = client.show(MODEL)
    assert "completion" in shown.capabilities
    assert shown.details.family == "llama"
    assert shown.modelinfo["general.architecture"] == "llama"
    # A prompt of nothing loads the model, whatever other tests have done.
    assert client.generate(MODEL).done_reason == "load"
    (running,) = [each for each in client.ps().models if each.model == MODEL]
    assert running.context_length > 0


def test_texts_become_vectors(client: Any, embedder: str) -> None:
    answer = client.embed(embedder, ["The cat sits.", "A feline rests."])
    assert [len(vector) for vector in answer.embeddings] == [384, 384]
    former = client.embeddings(embedder, "The cat sits.")
    assert former.embedding == pytest.approx(list(answer.embeddings[0]), abs=1e-5)


def test_errors_are_of_its_class(client: Any, server: Server) -> None:
    with pytest.raises(ollama.ResponseError, match="does not exist") as missing:
        client.chat("no-such-model", said(CAPITAL))
    assert missing.value.status_code == 404
    with pytest.raises(ollama.ResponseError, match=r"options\.temperature") as wrong:
        client.chat(MODEL, said(CAPITAL), options={"temperature": 9})
    assert wrong.value.status_code == 400
    stranger = ollama.Client(host=f"http://{server.host}:{server.port}")
    with pytest.raises(ollama.ResponseError) as closed:
        stranger.list()
    assert closed.value.status_code == 401
