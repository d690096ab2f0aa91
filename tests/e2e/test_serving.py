"""What a user of the API sees, on a real model, over real processes."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx
import openai
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.conftest import Q4_0, Q4_1

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.whole_server import Server

pytestmark = [pytest.mark.e2e, pytest.mark.model]

_WAIT_S = 60.0


def until(condition: Callable[[], Any], what: str) -> Any:
    """Return the condition's value once it is true."""
    deadline = time.monotonic() + _WAIT_S
    pause = threading.Event()
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        pause.wait(0.05)
    raise AssertionError(f"not within {_WAIT_S:.0f} s: {what}")


def chat(question: str, **fields: Any) -> dict[str, Any]:
    return {
        "model": Q4_0,
        "messages": [{"role": "user", "content": question}],
        "temperature": 0,
        "max_tokens": 48,
        **fields,
    }


def content(api: httpx.Client, question: str, **fields: Any) -> str:
    answer = api.post("/v1/chat/completions", json=chat(question, **fields))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])


def events(response: httpx.Response) -> Iterator[dict[str, Any]]:
    """Yield a stream's chunks up to [DONE]."""
    for line in response.iter_lines():
        if line == "data: [DONE]":
            return
        if line.startswith("data: "):
            yield json.loads(line[6:])
    raise AssertionError("the stream ends without [DONE]")


def state(api: httpx.Client, model: str) -> str:
    return str(api.get(f"/v1/models/{model}").json()["state"])


def processes(server: Server, mark: str) -> list[psutil.Process]:
    """Return the server's processes that have this in their command line."""
    found = []
    for process in psutil.Process(server.pid).children(recursive=True):
        try:
            line = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if mark in line and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def detailed(api: httpx.Client) -> dict[str, Any]:
    return dict(api.get("/health/detailed").json())


def running(api: httpx.Client) -> int:
    return sum(worker["running"] for worker in detailed(api)["workers"])


def begun(api: httpx.Client) -> int:
    workers = detailed(api)["workers"]
    return sum(worker["running"] + worker["waiting"] for worker in workers)


def test_many_first_requests_load_the_model_once(
    api: httpx.Client, server: Server
) -> None:
    with ThreadPoolExecutor(6) as pool:
        texts = list(pool.map(lambda _: content(api, "Say hello."), range(6)))
    assert len(set(texts)) == 1
    assert texts[0]
    assert len(processes(server, "inference.worker.main")) == 1


def test_a_stream_arrives_token_by_token(api: httpx.Client) -> None:
    content(api, "Warm up.")
    body = chat("Tell me about the sea.", stream=True, max_tokens=1900, ignore_eos=True)
    with api.stream("POST", "/v1/chat/completions", json=body) as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        chunks = events(response)
        texts = [next(chunks)["choices"][0]["delta"].get("content") for _ in range(40)]
        # It is being written while its beginning is here.
        assert running(api) == 1
    assert sum(map(bool, texts)) > 30
    until(lambda: running(api) == 0, "the model stops with its reader")


def test_eight_streams_at_once_each_equal_their_own_single_run(
    api: httpx.Client,
) -> None:
    questions = [f"Tell me about the number {n}." for n in range(8)]
    alone = [content(api, question, max_tokens=24) for question in questions]

    def streamed(question: str) -> str:
        body = chat(question, stream=True, max_tokens=24)
        with api.stream("POST", "/v1/chat/completions", json=body) as response:
            return "".join(
                chunk["choices"][0]["delta"].get("content", "")
                for chunk in events(response)
            )

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(streamed, questions))
    assert together == alone


def test_a_client_that_leaves_frees_its_slot(api: httpx.Client) -> None:
    body = chat("Write a very long story.", stream=True, max_tokens=1900)
    with api.stream("POST", "/v1/chat/completions", json=body) as response:
        for chunk in events(response):
            if chunk["choices"][0]["delta"].get("content"):
                break
    until(lambda: running(api) == 0, "the slot is free")


def test_a_client_that_leaves_a_plain_request_frees_its_slot_too(
    api: httpx.Client,
) -> None:
    body = chat("Write a very long story.", max_tokens=1900)
    with pytest.raises(httpx.ReadTimeout):
        api.post("/v1/chat/completions", json=body, timeout=1)
    until(lambda: running(api) == 0, "the slot is free")


def test_usage_and_finish_reason_are_the_engines_own(api: httpx.Client) -> None:
    cut = api.post("/v1/chat/completions", json=chat("Count.", max_tokens=7)).json()
    assert cut["choices"][0]["finish_reason"] == "length"
    assert cut["usage"]["completion_tokens"] == 7
    whole = api.post(
        "/v1/chat/completions",
        json=chat("What is the capital of France?", max_tokens=200),
    ).json()
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert "Paris" in whole["choices"][0]["message"]["content"]
    usage = whole["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_a_stop_string_ends_the_answer_and_is_not_in_it(api: httpx.Client) -> None:
    answer = api.post(
        "/v1/chat/completions",
        json=chat("What is the capital of France?", stop=["Paris"], max_tokens=100),
    ).json()
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert "Paris" not in answer["choices"][0]["message"]["content"]


def test_raw_completions_continue_the_prompt(api: httpx.Client) -> None:
    answer = api.post(
        "/v1/completions",
        json={
            "model": Q4_0,
            "prompt": ["1, 2, 3, 4, 5,", "a b c d e f"],
            "max_tokens": 6,
            "temperature": 0,
        },
    ).json()
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    assert "6" in answer["choices"][0]["text"]
    assert "g" in answer["choices"][1]["text"]


def test_a_prompt_over_the_context_is_an_error_with_both_numbers(
    api: httpx.Client,
) -> None:
    answer = api.post("/v1/chat/completions", json=chat("word " * 9000))
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error["code"] == "context_length_exceeded"
    # The most that the context may grow to is what the model was trained on.
    assert "8192" in error["message"]
    assert "90" in error["message"]


def test_the_openai_package_works_against_it(server: Server) -> None:
    with openai.OpenAI(
        base_url=f"http://{server.host}:{server.port}/v1",
        api_key=server.key,
        http_client=openai.DefaultHttpxClient(trust_env=False),
    ) as client:
        use(client)


def use(client: openai.OpenAI) -> None:
    """Do with a client what programs do."""
    assert Q4_0 in [model.id for model in client.models.list()]
    answer = client.chat.completions.create(
        model=Q4_0,
        messages=[{"role": "user", "content": "What is the capital of France?"}],
        temperature=0,
        n=2,
    )
    assert len(answer.choices) == 2
    assert "Paris" in (answer.choices[0].message.content or "")
    stream = client.chat.completions.create(
        model=Q4_0,
        messages=[{"role": "user", "content": "What is the capital of France?"}],
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(
        chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices
    )
    assert "Paris" in text
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody/knows-it")
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model=Q4_0, messages=[{"role": "user", "content": "x"}], temperature=9
        )
    assert caught.value.param == "temperature"
    stranger = client.with_options(api_key="sk-wrong")
    with pytest.raises(openai.AuthenticationError):
        stranger.models.list()


def test_models_are_loaded_and_unloaded_on_request(
    api: httpx.Client, server: Server
) -> None:
    assert api.post(f"/v1/models/{Q4_0}/load").status_code == 200
    assert state(api, Q4_0) == "ready"
    assert api.post(f"/v1/models/{Q4_0}/unload").status_code == 200
    until(lambda: state(api, Q4_0) == "unloaded", "the model is unloaded")
    assert processes(server, "inference.worker.main") == []


def test_two_models_take_turns_under_traffic_where_one_fits(
    api: httpx.Client, server: Server
) -> None:
    expected = {
        model: content(api, "Name a colour.", model=model, max_tokens=16)
        for model in (Q4_0, Q4_1)
    }

    def ask(number: int) -> bool:
        model = (Q4_0, Q4_1)[number % 2]
        text = content(api, "Name a colour.", model=model, max_tokens=16)
        return text == expected[model]

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(4)))
    assert len(processes(server, "inference.worker.main")) == 1


@pytest.mark.parametrize(
    "victim",
    [
        "inference.worker.main",
        "redis-server",
        pytest.param("run_engine", marks=pytest.mark.long),
    ],
)
def test_a_killed_process_costs_a_pause_and_no_token(
    api: httpx.Client, server: Server, victim: str
) -> None:
    question = f"Tell me a story about a fox and the {victim}."
    expected = content(api, question, max_tokens=96)
    body = chat(question, stream=True, max_tokens=96)
    text = ""
    with api.stream("POST", "/v1/chat/completions", json=body) as response:
        for chunk in events(response):
            piece = chunk["choices"][0]["delta"].get("content", "")
            if piece and not text:
                killed = processes(server, victim)
                assert killed
                for process in killed:
                    process.kill()
            text += piece
    assert text == expected
    until(lambda: len(processes(server, "inference.worker.main")) == 1, "one worker")


def test_pending_requests_of_a_killed_worker_are_still_answered(
    api: httpx.Client, server: Server
) -> None:
    questions = [f"Name the {n}th planet." for n in range(1, 5)]
    expected = [content(api, question, max_tokens=24) for question in questions]
    victims = processes(server, "inference.worker.main")

    def streamed(question: str) -> str:
        text = ""
        body = chat(question, stream=True, max_tokens=24)
        with api.stream("POST", "/v1/chat/completions", json=body) as response:
            for chunk in events(response):
                text += chunk["choices"][0]["delta"].get("content", "")
                if text:
                    # The first of them to begin ends the worker; half of them wait.
                    with suppress(IndexError):
                        victims.pop().kill()
        return text

    # Twice as many as there are slots.
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(streamed, questions * 4)) == expected * 4


def test_a_killed_web_process_leaves_no_sequence_behind(
    api: httpx.Client, server: Server
) -> None:
    body = chat("Write a very long story.", stream=True, max_tokens=1900)

    def read_and_kill() -> None:
        with api.stream("POST", "/v1/chat/completions", json=body) as response:
            for chunk in events(response):
                if chunk["choices"][0]["delta"].get("content"):
                    for web in processes(server, "llm_manager web"):
                        web.kill()

    with pytest.raises(httpx.RemoteProtocolError):
        read_and_kill()
    until(lambda: _answers(api), "the web server is back")
    until(lambda: running(api) == 0, "the sequence is gone")


def _answers(api: httpx.Client) -> bool:
    try:
        return api.get("/health").status_code == 200
    except httpx.TransportError:
        return False


def test_without_a_key_only_liveness_and_documentation_answer(server: Server) -> None:
    with httpx.Client(
        base_url=f"http://{server.host}:{server.port}", trust_env=False
    ) as stranger:
        assert stranger.get("/health").status_code == 200
        assert stranger.get("/docs").status_code == 200
        for path in ("/v1/models", "/health/detailed", "/metrics"):
            answer = stranger.get(path)
            assert answer.status_code == 401
            assert answer.json()["error"]["code"]
        assert stranger.post("/v1/chat/completions", json={}).status_code == 401


def test_health_and_metrics_tell_of_the_worker(api: httpx.Client) -> None:
    content(api, "Say hello.")
    health = until(
        lambda: detailed(api) if detailed(api)["status"] == "ok" else None, "healthy"
    )
    assert health["workers"][0]["model"] == Q4_0
    metrics = api.get("/metrics").text
    assert f'llm_requests_total{{model="{Q4_0}"' in metrics
    assert "llm_active_models 1" in metrics


def test_what_the_worker_measures_reaches_prometheus(api: httpx.Client) -> None:
    content(api, "Say hello.")

    def counted() -> set[str]:
        """Return the metrics of the model that are not 0."""
        return {
            sample.name
            for family in text_string_to_metric_families(api.get("/metrics").text)
            for sample in family.samples
            if Q4_0 in sample.labels.values() and sample.value > 0
        }

    # A worker reports once a second, and the engine looks as often.
    expected = {
        "llm_engine_request_seconds_count",
        "vllm:e2e_request_latency_seconds_count",
        "llamacpp:tokens_predicted_total",
    }
    until(lambda: expected <= counted(), "the sequence is counted")


@pytest.mark.long
def test_a_load_with_a_config_has_it_until_the_next(api: httpx.Client) -> None:
    path = f"/v1/models/{Q4_0}"
    loaded = api.post(f"{path}/load", json={"config": {"n_ctx": 512, "n_threads": 1}})
    assert loaded.status_code == 200, loaded.text
    context = api.get(path).json()["context"]
    assert (context["in_force"], context["max"]) == (512, 512)
    assert content(api, "Say hi.", max_tokens=4)

    api.post(f"{path}/load", json={"config": {}})
    assert api.get(path).json()["context"]["in_force"] > 512
