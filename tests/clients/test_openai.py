"""OpenAI's own package for Python, on which most of the others are built."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import struct
from typing import TYPE_CHECKING, Any

import openai
import pytest
from pydantic import BaseModel

from tests.clients import subjects
from tests.clients.client import FOLDER_MODEL, MODEL, TOO_SMALL, Client
from tests.clients.subjects import City, Person, said

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.whole_server import Server

CLIENT = Client(
    "openai",
    ("openai",),
    """
    from openai import OpenAI

    client = OpenAI(base_url="http://localhost:8000/v1", api_key="YOUR_KEY")
    """,
    note="`AsyncOpenAI` is set up the same way; both also read `OPENAI_BASE_URL` and "
    "`OPENAI_API_KEY`.",
)
CAPITAL, LONG, PERSON, ASKED = map(
    said, (subjects.CAPITAL, subjects.STORY, subjects.PERSON, subjects.WEATHER)
)


class GetWeather(BaseModel):
    """Tells the weather of a city."""

    city: City


WEATHER: Any = openai.pydantic_function_tool(GetWeather)


@pytest.fixture
def client(names: dict[str, Any]) -> Any:
    """The client, closed at the end."""
    with names["client"] as client:
        yield client


@pytest.fixture
async def async_client(server: Server) -> Any:
    """Its asynchronous sister."""
    async with openai.AsyncOpenAI(
        base_url=f"http://{server.host}:{server.port}/v1", api_key=server.key
    ) as client:
        yield client


def test_a_chat_is_answered_with_usage(client: Any) -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=CAPITAL, temperature=0, n=2
    )
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert "Paris" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    usage = answer.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_a_stream_ends_with_the_usage(client: Any) -> None:
    stream = client.chat.completions.create(
        model=MODEL,
        messages=CAPITAL,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "Paris" in "".join(texts)
    assert chunks[-1].usage.completion_tokens > 0


def test_parse_makes_an_object_of_the_answer(client: Any) -> None:
    answer = client.chat.completions.parse(
        model=MODEL, messages=PERSON, response_format=Person, temperature=0
    )
    person = answer.choices[0].message.parsed
    assert isinstance(person, Person)


def test_parse_makes_an_object_of_a_calls_arguments(client: Any) -> None:
    answer = client.chat.completions.parse(
        model=MODEL,
        messages=ASKED,
        tools=[WEATHER],
        tool_choice="required",
        parallel_tool_calls=False,
        temperature=0,
    )
    (call,) = answer.choices[0].message.tool_calls
    assert isinstance(call.function.parsed_arguments, GetWeather)
    assert answer.choices[0].finish_reason == "tool_calls"


def test_the_stream_helper_follows_a_parsed_answer(client: Any) -> None:
    with client.chat.completions.stream(
        model=MODEL,
        messages=PERSON,
        response_format=Person,
        temperature=0,
        stream_options={"include_usage": True},
    ) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    kinds = [event.type for event in events]
    deltas = [event.delta for event in events if event.type == "content.delta"]
    (done,) = [event for event in events if event.type == "content.done"]
    assert "".join(deltas) == done.content
    assert isinstance(done.parsed, Person)
    assert kinds[0] == "chunk"
    assert final.choices[0].message.parsed == done.parsed
    assert final.usage.completion_tokens > 0


def test_the_stream_helper_follows_a_call(client: Any) -> None:
    with client.chat.completions.stream(
        model=MODEL,
        messages=ASKED,
        tools=[WEATHER],
        tool_choice={"type": "function", "function": {"name": "GetWeather"}},
        temperature=0,
    ) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    deltas = [
        event.arguments_delta
        for event in events
        if event.type == "tool_calls.function.arguments.delta"
    ]
    (done,) = [
        event for event in events if event.type == "tool_calls.function.arguments.done"
    ]
    assert "".join(deltas) == done.arguments
    assert isinstance(done.parsed_arguments, GetWeather)
    (call,) = final.choices[0].message.tool_calls
    assert call.function.parsed_arguments == done.parsed_arguments


def test_the_stream_helper_adds_up_logprobs(client: Any) -> None:
    with client.chat.completions.stream(
        model=MODEL, messages=CAPITAL, logprobs=True, top_logprobs=2, temperature=0
    ) as stream:
        stream.until_done()
        final = stream.get_final_completion()
    tokens = final.choices[0].logprobs.content
    assert "".join(token.token for token in tokens).startswith("The capital")
    assert all(len(token.top_logprobs) == 2 for token in tokens)


def test_a_raw_response_has_the_headers(client: Any) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL,
        messages=CAPITAL,
        max_tokens=4,
        extra_headers={"x-request-id": "my-own-id"},
    )
    assert raw.status_code == 200
    assert raw.headers["x-request-id"] == "my-own-id"
    assert int(raw.headers["openai-processing-ms"]) >= 0
    assert raw.parse().usage.completion_tokens == 4


def test_a_streaming_response_has_the_headers_first(client: Any) -> None:
    with client.chat.completions.with_streaming_response.create(
        model=MODEL, messages=CAPITAL, max_tokens=4, stream=True
    ) as raw:
        assert raw.headers["content-type"].startswith("text/event-stream")
        assert raw.headers["x-request-id"]
        lines = [line for line in raw.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"


def test_an_answer_knows_its_request(client: Any) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=CAPITAL, max_tokens=1)
    assert answer._request_id


async def test_several_ask_at_once(async_client: Any) -> None:
    answers = await asyncio.gather(
        *(
            async_client.chat.completions.create(
                model=MODEL, messages=CAPITAL, temperature=0, max_tokens=16
            )
            for _ in range(4)
        )
    )
    texts = [answer.choices[0].message.content for answer in answers]
    assert all("Paris" in text for text in texts)


async def test_an_asynchronous_stream(async_client: Any) -> None:
    stream = await async_client.chat.completions.create(
        model=MODEL, messages=CAPITAL, temperature=0, stream=True
    )
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert "Paris" in text


async def test_the_asynchronous_stream_helper(async_client: Any) -> None:
    async with async_client.chat.completions.stream(
        model=MODEL, messages=PERSON, response_format=Person, temperature=0
    ) as stream:
        final = await stream.get_final_completion()
    assert isinstance(final.choices[0].message.parsed, Person)


def test_a_named_tool_is_called(client: Any) -> None:
    answer = client.chat.completions.create(
        model=MODEL,
        messages=ASKED,
        tools=[WEATHER],
        tool_choice={"type": "function", "function": {"name": "GetWeather"}},
        temperature=0,
    )
    (call,) = answer.choices[0].message.tool_calls
    assert call.function.name == "GetWeather"
    GetWeather.model_validate_json(call.function.arguments)


def test_a_call_comes_back_with_its_result(client: Any) -> None:
    first = client.chat.completions.create(
        model=MODEL,
        messages=ASKED,
        tools=[WEATHER],
        tool_choice="required",
        parallel_tool_calls=False,
        temperature=0,
    )
    said = first.choices[0].message
    result = {
        "role": "tool",
        "tool_call_id": said.tool_calls[0].id,
        "content": json.dumps({"weather": "sunny"}),
    }
    second = client.chat.completions.create(
        model=MODEL,
        # What the package itself sends back: the object that it was given.
        messages=[*ASKED, said, result],
        tools=[WEATHER],
        tool_choice="none",
        temperature=0,
    )
    assert second.choices[0].message.content
    assert second.choices[0].finish_reason == "stop"


@pytest.mark.xfail(
    raises=AssertionError, reason=f"{TOO_SMALL} it does not choose a tool by itself"
)
def test_a_tool_is_chosen_unprompted(client: Any) -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=ASKED, tools=[WEATHER], temperature=0
    )
    assert answer.choices[0].message.tool_calls


def test_embeddings_come_as_base64_unasked_and_as_numbers(
    client: Any, embedder: str
) -> None:
    raw = client.embeddings.with_raw_response.create(model=embedder, input="A cat.")
    text = raw.http_response.json()["data"][0]["embedding"]
    assert isinstance(text, str)
    binary = base64.b64decode(text)
    vector = raw.parse().data[0].embedding
    assert vector == pytest.approx(struct.unpack(f"<{len(binary) // 4}f", binary))
    numbers = client.embeddings.create(
        model=embedder, input=["A cat.", "A tax."], encoding_format="float"
    )
    assert numbers.data[0].embedding == pytest.approx(vector, abs=1e-3)
    assert [item.index for item in numbers.data] == [0, 1]
    assert numbers.usage.prompt_tokens == numbers.usage.total_tokens > 0


def test_embeddings_may_be_shorter(client: Any, embedder: str) -> None:
    answer = client.embeddings.create(model=embedder, input="A cat.", dimensions=64)
    (item,) = answer.data
    assert len(item.embedding) == 64
    assert math.hypot(*item.embedding) == pytest.approx(1)


def test_a_text_is_continued(client: Any) -> None:
    answer = client.completions.create(
        model=MODEL,
        prompt=["1, 2, 3, 4, 5,", "a b c d e f"],
        max_tokens=6,
        temperature=0,
    )
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert "6" in answer.choices[0].text
    assert "g" in answer.choices[1].text


def test_a_text_is_echoed_with_its_logprobs(client: Any) -> None:
    answer = client.completions.create(
        model=MODEL, prompt="1, 2, 3,", max_tokens=1, echo=True, logprobs=2
    )
    (choice,) = answer.choices
    logprobs = choice.logprobs
    assert choice.text.startswith("1, 2, 3,")
    assert logprobs.token_logprobs[0] is None
    assert all(value < 0 for value in logprobs.token_logprobs[1:])
    assert (
        len(logprobs.tokens) == len(logprobs.text_offset) == len(logprobs.top_logprobs)
    )


def test_a_texts_continuation_is_streamed(client: Any) -> None:
    stream = client.completions.create(
        model=MODEL, prompt="1, 2, 3, 4, 5,", max_tokens=6, temperature=0, stream=True
    )
    assert "6" in "".join(chunk.choices[0].text for chunk in stream)


def test_models_are_listed_and_retrieved_also_with_slashes(client: Any) -> None:
    ids = {model.id for model in client.models.list()}
    assert {MODEL, FOLDER_MODEL} <= ids
    for name in (MODEL, FOLDER_MODEL):
        model = client.models.retrieve(name)
        assert (model.id, model.object) == (name, "model")
        assert model.created > 0
        assert model.owned_by


def test_a_model_with_slashes_answers(client: Any) -> None:
    answer = client.chat.completions.create(
        model=FOLDER_MODEL, messages=CAPITAL, temperature=0, max_tokens=16
    )
    assert answer.model == FOLDER_MODEL
    assert "Paris" in answer.choices[0].message.content


@pytest.mark.parametrize(
    ("fields", "expected", "param"),
    [
        ({"temperature": 9}, openai.BadRequestError, "temperature"),
        ({"model": "nobody/knows-it"}, openai.NotFoundError, None),
        ({"extra_body": {"no_such": 1}}, openai.BadRequestError, "no_such"),
    ],
    ids=["a value out of bounds", "an unknown model", "an unknown member"],
)
def test_what_cannot_be_served_is_an_error_of_its_class(
    client: Any,
    fields: dict[str, Any],
    expected: type[openai.APIStatusError],
    param: str | None,
) -> None:
    body = {"model": MODEL, "messages": CAPITAL, **fields}
    with pytest.raises(expected) as caught:
        client.chat.completions.create(**body)
    assert caught.value.param == param
    assert caught.value.request_id


def test_a_wrong_key_is_an_authentication_error(client: Any) -> None:
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="sk-wrong").models.list()


def test_a_stream_that_is_closed_is_cancelled(
    client: Any,
    requests_of: Callable[[str], int],
    until: Callable[..., None],
) -> None:
    stream = client.chat.completions.create(
        model=MODEL, messages=LONG, stream=True, max_tokens=1800
    )
    next(iter(stream))
    stream.close()
    until(lambda: requests_of("running") == 0, "the slot is free")


async def test_a_task_that_is_cancelled_cancels_its_request(
    async_client: Any,
    requests_of: Callable[[str], int],
    until: Callable[..., None],
) -> None:
    task = asyncio.create_task(
        async_client.chat.completions.create(
            model=MODEL, messages=LONG, max_tokens=1800
        )
    )
    await asyncio.to_thread(until, lambda: requests_of("running") == 1, "it runs")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(
        until, lambda: requests_of("running") == 0, "the slot is free"
    )


def test_a_timeout_is_an_error_and_cancels_the_request(
    client: Any,
    requests_of: Callable[[str], int],
    until: Callable[..., None],
) -> None:
    hurried = client.with_options(timeout=0.5, max_retries=0)
    with pytest.raises(openai.APITimeoutError):
        hurried.chat.completions.create(model=MODEL, messages=LONG, max_tokens=1800)
    until(lambda: requests_of("running") == 0, "the slot is free")
