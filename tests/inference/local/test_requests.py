"""What the manager makes of its arguments, with a scripted model."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, get_type_hints

import pytest

from inference.api.chat.request import ChatCompletionRequest
from inference.api.completions.request import CompletionRequest
from inference.local.parameters import GenerationParameters
from llm_manager import LLMManager, LLMManagerError, errors

if TYPE_CHECKING:
    from tests.inference.engine.fakes import FakeBackend

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture
def loaded(manager: LLMManager, backend: FakeBackend) -> LLMManager:
    backend.script("hello", "good day")
    backend.script("x", "y" * 4000)
    manager.load_model("large")
    return manager


def test_an_answer_reads_like_the_http_apis(loaded: LLMManager) -> None:
    answer = loaded.generate(HELLO)
    assert answer["choices"][0]["message"]["content"] == "good day"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "large"
    assert answer["usage"]["prompt_tokens"] == 5
    assert loaded.generate(prompt="hello")["choices"][0]["text"] == "good day"


def test_the_chunks_of_a_stream_make_the_answer(loaded: LLMManager) -> None:
    with loaded.generate(
        HELLO, stream=True, stream_options={"include_usage": True}
    ) as stream:
        *chunks, last = stream
    texts = [chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks]
    assert "".join(texts) == "good day"
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert last["usage"]["completion_tokens"] == 9  # type: ignore[index]


def test_every_parameter_of_the_http_api_is_known_to_editors() -> None:
    bodies = (ChatCompletionRequest, CompletionRequest)
    members = {
        field.alias or name
        for body in bodies
        for name, field in body.model_fields.items()
    }
    own = {"messages", "prompt", "model", "stream"}
    assert set(get_type_hints(GenerationParameters)) == members - own


@pytest.mark.parametrize(
    ("arguments", "param"),
    [
        ({"messages": HELLO, "temperatures": 1}, "temperatures"),
        ({"messages": HELLO, "temperature": 3}, "temperature"),
        ({"messages": HELLO, "prompt": "hello"}, "messages"),
        ({}, "messages"),
        ({"prompt": "hello", "tools": []}, "tools"),
        ({"messages": HELLO, "stop": {"set"}}, None),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(
    loaded: LLMManager, arguments: dict[str, Any], param: str | None
) -> None:
    with pytest.raises(errors.BadRequest) as caught:
        loaded.generate(**arguments)
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"
    assert isinstance(caught.value, LLMManagerError)


def test_a_wrong_request_is_refused_before_its_stream_is_read(
    loaded: LLMManager,
) -> None:
    with pytest.raises(errors.BadRequest):
        loaded.generate(HELLO, stream=True, temperature=3)


def test_a_hint_without_meaning_is_left_out_and_said(loaded: LLMManager) -> None:
    with pytest.warns(errors.LeftOutWarning, match="verbosity"):
        loaded.generate(HELLO, verbosity="low")


def test_a_prompt_that_is_too_long_is_named_as_the_messages(
    loaded: LLMManager,
) -> None:
    with pytest.raises(errors.ContextLengthExceeded) as caught:
        loaded.generate([{"role": "user", "content": "x" * 9000}])
    assert caught.value.param == "messages"
    assert caught.value.code == "context_length_exceeded"


def test_a_closed_stream_frees_its_place(
    loaded: LLMManager, backend: FakeBackend
) -> None:
    streams = [
        loaded.generate(prompt="x", stream=True, max_tokens=4000) for _ in range(4)
    ]
    for stream in streams:
        next(stream)
    streams[0].close()
    assert list(streams[0]) == []
    for stream in streams[1:]:
        stream.close()
    # Only four sequences run at once: without their places this would wait for ever.
    assert loaded.generate(HELLO)["choices"][0]["message"]["content"] == "good day"


def test_leaving_a_loop_over_a_stream_ends_it(loaded: LLMManager) -> None:
    for _ in range(20):
        for _chunk in loaded.generate(prompt="x", stream=True, max_tokens=4000):
            break
    assert loaded.generate(HELLO)["choices"][0]["message"]["content"] == "good day"


def test_a_loop_that_is_left_ends_nothing_while_the_stream_is_held(
    loaded: LLMManager,
) -> None:
    with loaded.generate(prompt="x", stream=True, max_tokens=40) as stream:
        for _chunk in stream:
            break
        assert next(stream)["choices"]
    assert list(stream) == []


def test_threads_share_a_manager(loaded: LLMManager) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: loaded.generate(HELLO), range(16)))
    assert {a["choices"][0]["message"]["content"] for a in answers} == {"good day"}


def test_two_event_loops_share_a_manager(loaded: LLMManager) -> None:
    async def ask() -> str | None:
        answers = await asyncio.gather(*(loaded.generate_async(HELLO) for _ in "abcd"))
        (content,) = {a["choices"][0]["message"]["content"] for a in answers}
        return content

    with ThreadPoolExecutor(2) as pool:
        assert (
            list(pool.map(lambda _: asyncio.run(ask()), range(2))) == ["good day"] * 2
        )


async def test_the_async_twins_do_the_same(loaded: LLMManager) -> None:
    stream = await loaded.generate_stream_async(prompt="hello")
    assert "".join([c["choices"][0]["text"] async for c in stream]) == "good day"
    assert await loaded.count_tokens_async("hello") == 5
    assert await loaded.apply_template_async(HELLO) == "hello"
    assert (await loaded.model_info_async())["state"] == "ready"
    assert len(await loaded.generate_batch_async(["hello"] * 3)) == 3


async def test_a_cancelled_task_ends_its_answer(loaded: LLMManager) -> None:
    for _ in range(6):
        task = asyncio.create_task(loaded.generate_async(prompt="x", max_tokens=4000))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    answer = await loaded.generate_async(HELLO)
    assert answer["choices"][0]["message"]["content"] == "good day"


def test_a_batch_keeps_the_order_of_its_requests(
    loaded: LLMManager, backend: FakeBackend
) -> None:
    words = [f"word{number}" for number in range(30)]
    for word in words:
        backend.script(word, word.upper())
    mixed: list[Any] = [*words[:10]]
    mixed += [[{"role": "user", "content": word}] for word in words[10:20]]
    mixed += [{"prompt": word, "max_tokens": 3} for word in words[20:]]
    answers = loaded.generate_batch(mixed, max_parallel=3, progress=False)
    texts = [
        choice["text"] if "text" in choice else choice["message"]["content"]
        for answer in answers
        for choice in answer["choices"]
    ]
    assert texts == [w.upper() for w in words[:20]] + ["WOR"] * 10


def test_the_first_error_ends_a_batch_unless_errors_are_wanted(
    loaded: LLMManager,
) -> None:
    requests: list[Any] = ["hello", {"prompt": "hello", "temperature": 9}]
    with pytest.raises(errors.BadRequest):
        loaded.generate_batch(requests, progress=False)
    good, bad = loaded.generate_batch(requests, progress=False, return_errors=True)
    assert good["choices"][0]["text"] == "good day"
    assert isinstance(bad, errors.BadRequest)
    assert loaded.generate_batch([]) == []


def test_a_batch_shows_its_progress_on_a_terminal(
    loaded: LLMManager,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    loaded.generate_batch(["hello"] * 5)
    assert "5/5" in capsys.readouterr().err


def test_a_closed_manager_says_so(loaded: LLMManager) -> None:
    loaded.close()
    loaded.close()
    with pytest.raises(errors.ManagerClosed):
        loaded.generate(HELLO)
