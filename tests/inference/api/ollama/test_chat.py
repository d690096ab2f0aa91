"""POST /api/chat and /api/generate, in Ollama's shapes."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.utils import timezone

from inference.api.streaming import collecting
from inference.errors import EngineUnavailable
from inference.models import WorkerState
from tests.factories import make_model, make_node, make_worker
from tests.fakes import begun, finished, tokens
from tests.inference.api.conftest import Api
from tests.inference.api.ollama.conftest import lines, refusal, said, whole
from tests.inference.api.tool_models import (
    THINK,
    WEATHER,
    make_tool_model,
    script,
    template_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.fakes import FakeEngineClient
    from tests.inference.api.usage.conftest import Entries

CHAT = "/api/chat"
GENERATE = "/api/generate"
CALL = (
    '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>'
)
COUNTS = (
    *("total_duration", "load_duration", "prompt_eval_duration", "eval_duration"),
    *("prompt_eval_count", "eval_count"),
)


async def test_a_chat_is_answered_with_counts_and_durations(api: Api) -> None:
    answer = await whole(api, CHAT, messages=said())

    assert answer["message"] == {"role": "assistant", "content": "Hello world"}
    assert (answer["model"], answer["done"], answer["done_reason"]) == (
        "tiny",
        True,
        "stop",
    )
    assert (answer["prompt_eval_count"], answer["eval_count"]) == (5, 2)
    took = [answer[name] for name in COUNTS[:4]]
    assert all(type(each) is int and each >= 0 for each in took)
    assert took[0] >= max(took[1:])
    assert answer["created_at"].endswith("Z")


async def test_a_chat_streams_unless_it_says_otherwise(api: Api) -> None:
    found = await lines(api, CHAT, messages=said())

    *parts, last = found
    assert [each["message"]["content"] for each in parts] == ["Hello", " world"]
    assert not any(each["done"] or "eval_count" in each for each in parts)
    assert last["message"] == {"role": "assistant", "content": ""}
    assert last["done"] is True
    assert set(COUNTS) < set(last)


async def test_a_prompt_is_answered_in_the_models_template(
    api: Api, engine: FakeEngineClient
) -> None:
    answer = await whole(api, GENERATE, prompt="Hi", system="Be kind.")

    assert answer["response"] == "Hello world"
    assert "message" not in answer
    assert engine.requests[0].prompt == (
        "<|im_start|>system\nBe kind.<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
    parts = await lines(api, GENERATE, prompt="Hi")
    assert [each["response"] for each in parts] == ["Hello", " world", ""]


async def test_a_raw_prompt_is_continued_as_it_is(
    api: Api, engine: FakeEngineClient
) -> None:
    answer = await whole(api, GENERATE, prompt="Once", raw=True)

    assert answer["response"] == "Hello world"
    assert engine.requests[0].prompt == "Once"
    # Not the other API's 16 tokens.
    assert engine.requests[0].params.max_tokens > 16
    message = await refusal(api, GENERATE, prompt="Once", raw=True, system="Be kind.")
    assert message.startswith("'system' needs the model's chat template")


async def test_a_prompt_of_a_model_without_a_template_is_continued(
    api: Api, engine: FakeEngineClient
) -> None:
    await sync_to_async(make_model)("base", kind="completion")

    await whole(api, GENERATE, model="base", prompt="Once")

    assert engine.requests[0].prompt == "Once"


async def test_a_suffix_is_filled_up_to(api: Api, engine: FakeEngineClient) -> None:
    await sync_to_async(make_model)("coder", supports_infill=True)

    await whole(api, GENERATE, model="coder", prompt="def f(", suffix="return")

    assert (engine.requests[0].prompt, engine.requests[0].suffix) == (
        "def f(",
        "return",
    )


async def test_options_are_sampling_parameters(
    api: Api, engine: FakeEngineClient
) -> None:
    options = {
        "temperature": 0.25,
        "top_k": 7,
        "top_p": 0.5,
        "min_p": 0.125,
        "seed": 3,
        "num_predict": 9,
        "stop": ["END"],
        "repeat_penalty": 1.5,
        "repeat_last_n": 32,
    }

    await whole(api, CHAT, messages=said(), options=options)

    params = engine.requests[0].params
    assert (params.temperature, params.top_k, params.top_p) == (0.25, 7, 0.5)
    assert (params.min_p, params.seed, params.max_tokens) == (0.125, 3, 9)
    assert (params.stop, params.repeat_penalty) == (("END",), 1.5)


#: What a request has that cannot be, and how its refusal begins.
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"options": {"tfs_z": 0.5}}, "Unsupported parameter: 'options.tfs_z'"),
    ({"options": {"temperature": 9}}, "Invalid value for 'options.temperature'"),
    ({"options": {"num_predict": 0}}, "Invalid value for 'options.num_predict'"),
    ({"options": {"colour": 1}}, "Unknown parameter: 'options.colour'"),
    ({"format": "xml"}, "Invalid value for 'format'"),
    ({"format": {"type": "nothing"}}, "Invalid value for 'format.type'"),
    ({"think": "very"}, "Invalid value for 'think'"),
    ({"top_logprobs": 2}, "'top_logprobs' is only allowed with 'logprobs'"),
]


async def test_what_cannot_be_honoured_is_refused_in_ollamas_words(api: Api) -> None:
    for members, begin in REFUSED:
        message = await refusal(api, CHAT, messages=said(), **members)
        assert message.startswith(begin), message


async def test_an_image_is_refused_by_its_place(api: Api) -> None:
    turn = {"role": "user", "content": "What is it?", "images": ["aGk="]}
    assert "'messages[0].images[0]'" in await refusal(api, CHAT, messages=[turn])
    assert "'images[0]'" in await refusal(api, GENERATE, prompt="x", images=["aGk="])
    refused = await refusal(api, GENERATE, prompt="x", raw=True, images=["aGk="])
    assert "'images' needs the model's chat template" in refused
    # LangChain sends an empty list with every message.
    assert await whole(api, CHAT, messages=[{**turn, "images": []}])


async def test_hints_are_left_out_and_said(api: Api) -> None:
    response = await api.post(
        CHAT,
        {
            "model": "tiny",
            "messages": said(),
            "keep_alive": "5m",
            "stream": False,
            "options": {"num_ctx": 8192, "num_gpu": 1},
            "truncate": True,
            "think": True,
        },
    )
    assert response["x-llm-manager-left-out"] == (
        "keep_alive, truncate, options.num_ctx, options.num_gpu, think"
    )


async def test_the_answer_matches_a_schema_or_is_json(
    api: Api, engine: FakeEngineClient
) -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}}

    await whole(api, CHAT, messages=said(), format=schema)
    await whole(api, CHAT, messages=said(), format="json")
    await whole(api, GENERATE, prompt="Hi", format=schema)
    await whole(api, CHAT, messages=said(), format="")

    grammars = [each.params.grammar for each in engine.requests]
    assert "age" in grammars[0].source
    assert grammars[1] is not None
    assert grammars[2] == grammars[0]
    assert grammars[3] is None


async def test_thoughts_are_apart_from_the_answer(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("hermes", template=THINK + template_of("hermes"))
    for _ in range(3):
        script(engine, "<think>Hm.</think>Hello")

    answer = await whole(api, CHAT, model="hermes", messages=said(), think=True)
    parts = await lines(api, GENERATE, model="hermes", prompt="Hi")
    silent = await whole(api, CHAT, model="hermes", messages=said(), think=False)

    assert (answer["message"]["thinking"], answer["message"]["content"]) == (
        "Hm.",
        "Hello",
    )
    assert "".join(each.get("thinking", "") for each in parts) == "Hm."
    assert "".join(each["response"] for each in parts) == "Hello"
    assert "thinking" not in silent["message"]


async def test_a_call_comes_whole_in_one_line(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("hermes")
    script(engine, f"I look.\n{CALL}\n{CALL}")

    *parts, last = await lines(
        api, CHAT, model="hermes", messages=said(), tools=[WEATHER]
    )

    calls = [call for each in parts for call in each["message"].get("tool_calls", ())]
    assert [call["function"] for call in calls] == [
        {"index": index, "name": "get_weather", "arguments": {"city": "Oslo"}}
        for index in range(2)
    ]
    assert calls[0]["id"] != calls[1]["id"]
    assert last["done_reason"] == "stop"


async def test_a_whole_answer_has_all_its_calls(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("hermes")
    script(engine, f"I look.\n{CALL}\n{CALL}")

    answer = await whole(api, CHAT, model="hermes", messages=said(), tools=[WEATHER])

    assert answer["message"]["content"].strip() == "I look."
    assert [call["function"]["index"] for call in answer["message"]["tool_calls"]] == [
        0,
        1,
    ]


async def test_results_find_their_calls_by_id_by_name_or_by_order(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("hermes")

    def call(name: str, **more: Any) -> dict[str, Any]:
        return {"function": {"name": name, "arguments": {}}, **more}

    turns = [
        *said(),
        {"role": "assistant", "tool_calls": [call("a"), call("b"), call("c", id="z")]},
        {"role": "tool", "content": "of c", "tool_call_id": "z"},
        {"role": "tool", "content": "of b", "tool_name": "b"},
        {"role": "tool", "content": "of a"},
    ]

    await whole(api, CHAT, model="hermes", messages=turns)
    prompt = engine.requests[0].prompt
    # The template shows the name and the id of a call with its result.
    assert "[tool a of acall_1_0][tool b of bcall_1_1][tool c of cz]" in prompt

    message = await refusal(api, CHAT, model="hermes", messages=[*turns, turns[-1]])
    assert message.startswith("'messages[5]' is a result")


async def test_logprobs_are_ollamas(api: Api, engine: FakeEngineClient) -> None:
    await whole(api, CHAT, messages=said(), logprobs=True, top_logprobs=2)
    await whole(api, GENERATE, prompt="x", raw=True, logprobs=True, top_logprobs=3)

    assert [each.params.logprobs for each in engine.requests] == [2, 3]


async def test_an_answer_that_is_cut_says_so(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.enqueue(begun(), [tokens("Hi")], [finished("length")])
    assert (await whole(api, CHAT, messages=said()))["done_reason"] == "length"


async def test_a_stream_that_fails_ends_with_an_error_line(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.enqueue(begun(), [tokens("Hi")], EngineUnavailable("The engine is gone."))

    *_, last = await lines(api, CHAT, messages=said())

    assert last == {"error": "The engine is gone."}


async def test_silence_is_broken_by_a_line_that_adds_nothing(
    api: Api, engine: FakeEngineClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "KEEP_ALIVE_S", 0.01)
    engine.enqueue(begun(), 0.2, [tokens("Hi")], [finished()])

    found = await lines(api, CHAT, messages=said())

    assert found[0]["message"] == {"role": "assistant", "content": ""}
    assert "".join(each["message"]["content"] for each in found) == "Hi"


async def test_without_messages_the_model_is_loaded(
    api: Api, engine: FakeEngineClient
) -> None:
    model = await sync_to_async(make_model)("other", chat_template="x")
    # The node's heartbeat must outlast the test.
    beat = timezone.now() + timedelta(days=1)
    node = await sync_to_async(make_node)(heartbeat_at=beat)
    await sync_to_async(make_worker)(model, node)

    answer = await whole(api, CHAT, model="other", messages=[])
    assert (answer["done"], answer["done_reason"]) == (True, "load")
    answer = await whole(api, GENERATE, model="other", keep_alive="5m")
    assert (answer["response"], answer["done_reason"]) == ("", "load")
    assert not engine.requests

    for none in (0, "0", "0s", "0m"):
        message = await refusal(api, GENERATE, model="other", keep_alive=none)
        assert "POST /v1/models/{id}/unload" in message


async def test_a_model_that_has_just_failed_to_load_is_not_loaded_by_an_empty_request(
    api: Api,
) -> None:
    model = await sync_to_async(make_model)("other", chat_template="x")
    beat = timezone.now() + timedelta(days=1)
    node = await sync_to_async(make_node)(heartbeat_at=beat)
    worker = await sync_to_async(make_worker)(
        model, node, state=WorkerState.FAILED, failed_at=timezone.now(), error="damaged"
    )

    response = await api.post(GENERATE, {"model": "other"})

    assert response.status_code == 503
    assert "damaged" in json.loads(response.content)["error"]
    await worker.arefresh_from_db()
    assert worker.state == WorkerState.FAILED


async def test_latest_may_follow_a_models_name(api: Api) -> None:
    answer = await whole(api, CHAT, model="tiny:latest", messages=said())
    assert answer["model"] == "tiny"

    response = await api.post(CHAT, {"model": "none:latest", "messages": said()})
    assert response.status_code == 404
    assert "'none'" in response.json()["error"]


async def test_each_request_has_a_row_of_usage(api: Api, entries: Entries) -> None:
    await whole(api, CHAT, messages=said(), keep_alive="5m")
    await lines(api, GENERATE, prompt="Hi")
    await api.post(CHAT, {"model": "tiny", "colour": 1})

    chat, generated, refused = entries()
    assert (chat["endpoint"], chat["status"]) == ("ollama-chat", 200)
    assert (chat["prompt_tokens"], chat["completion_tokens"]) == (5, 2)
    assert (chat["model_name"], chat["left_out"]) == ("tiny", "keep_alive")
    assert (generated["endpoint"], generated["is_stream"]) == ("ollama-generate", True)
    assert (refused["endpoint"], refused["status"]) == ("ollama-chat", 400)


async def test_every_fault_has_ollamas_shape(api: Api, settings: Any) -> None:
    async def error(response: Any) -> str:
        assert list(response.json()) == ["error"]
        return str(response.json()["error"])

    nobody = await Api("sk-nobody").post(CHAT, {"model": "tiny", "messages": said()})
    assert (nobody.status_code, bool(await error(nobody))) == (401, True)
    wrong = await api.get(CHAT)
    assert (wrong.status_code, bool(await error(wrong))) == (405, True)
    unknown = await api.post("/api/pull", {"model": "llama3"})
    assert unknown.status_code == 404
    assert "There is no route POST /api/pull" in await error(unknown)
    malformed = await api.post(CHAT, b"{")
    assert (malformed.status_code, list(malformed.json())) == (400, ["error"])
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    large = await api.post(CHAT, {"model": "tiny", "messages": said()})
    assert (large.status_code, list(large.json())) == (413, ["error"])


async def test_without_the_key_of_the_configuration_there_is_no_route(
    api: Api, configure: Callable[..., None]
) -> None:
    configure(api__ollama=False)

    response = await api.post(CHAT, {"model": "tiny", "messages": said()})

    assert response.status_code == 404
    error = response.json()["error"]
    assert error["code"] == "unknown_url"
    assert "/v1/chat/completions" in error["message"]
    assert json.loads(response.content)["error"]["type"] == "invalid_request_error"
