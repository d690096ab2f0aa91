"""Real servers as upstreams: llama-server, vLLM and this one, each by the same checks.

Those that are not on this machine are skipped: `make bench-peers` builds llama-server,
scripts/build_vllm.sh installs vLLM.
"""

from __future__ import annotations

import json
import re
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import openai
import pytest

from benchmarks.systems.system import ROOT
from tests.e2e.conftest import EMBEDDER
from tests.e2e.upstreams.engines import (
    llama_server,
    missing_llama_server,
    missing_vllm,
    ours,
    vllm_vectors,
)
from tests.e2e.upstreams.rows import CHAT, HI, add, chat, remove

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx

    from tests.e2e.upstreams.engines import Engine
    from tests.whole_server import Server

pytestmark = [pytest.mark.e2e, pytest.mark.model, pytest.mark.long]
#: More tokens than are written in the seconds that a cancelled request is looked at.
_MANY = 1500
_PATIENCE_S = 120.0


def _wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_an_answer_is_the_upstreams_own_with_its_usage(
    api: httpx.Client, engine: Engine, far: str
) -> None:
    there = engine.post("/chat/completions", chat(engine.models["chat"])).json()
    response = api.post(CHAT, json=chat(far))
    assert response.status_code == 200, response.text
    here = response.json()
    assert here["model"] == far
    assert here["choices"][0]["finish_reason"] == "length"
    assert here["choices"][0]["message"]["content"]
    assert set(here) == set(there)
    counts = ("prompt_tokens", "completion_tokens", "total_tokens")
    assert [here["usage"][name] for name in counts] == [
        there["usage"][name] for name in counts
    ]


def test_the_openai_package_streams_it_with_the_usage_that_it_asks_for(
    server: Server, engine: Engine, far: str
) -> None:
    with openai.OpenAI(
        base_url=f"http://{server.host}:{server.port}/v1",
        api_key=server.key,
        http_client=openai.DefaultHttpxClient(trust_env=False),
    ) as client:
        chunks = list(
            client.chat.completions.create(  # type: ignore[call-overload]
                model=far,
                messages=HI,
                max_tokens=16,
                stream=True,
                stream_options={"include_usage": True},
            )
        )
    texts = [c.choices[0].delta.content or "" for c in chunks if c.choices]
    assert sum(map(bool, texts)) > 1
    assert {chunk.model for chunk in chunks} == {far}
    [usage] = [chunk.usage for chunk in chunks if chunk.usage]
    assert usage.prompt_tokens > 5
    assert 1 <= usage.completion_tokens <= 16


def test_a_stream_without_that_wish_has_no_usage_and_ends_as_streams_end(
    api: httpx.Client, far: str
) -> None:
    body = {"model": far, "prompt": "Once upon a time", "max_tokens": 8, "stream": True}
    with api.stream("POST", "/v1/completions", json=body) as response:
        lines = [line[6:] for line in response.iter_lines() if line]
    assert lines.pop() == "[DONE]"
    events = [json.loads(line) for line in lines]
    assert all(event["choices"] for event in events)
    assert "".join(event["choices"][0]["text"] for event in events)


def test_what_the_upstream_refuses_is_refused_with_its_reason(
    api: httpx.Client, far: str
) -> None:
    # More than the model was trained with: this server would make its context longer.
    long = [{"role": "user", "content": "colours " * 20_000}]
    response = api.post(CHAT, json=chat(far, messages=long))
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "upstream_refused")
    assert re.search("refuses the request: .+", error["message"])


def test_a_parameter_of_another_server_is_refused_by_name(
    api: httpx.Client, engine: Engine, far: str
) -> None:
    name, value = {
        "vllm": ("mirostat", 2),
        "llama-server": ("min_tokens", 1),
        # It takes everything that this server takes.
        "llm-manager": ("tempratur", 1),
    }[engine.dialect]
    response = api.post(CHAT, json=chat(far, **{name: value}))
    assert response.status_code == 400
    assert response.json()["error"]["param"] == name


def test_a_client_that_leaves_frees_the_upstreams_slot(
    api: httpx.Client, engine: Engine, far: str
) -> None:
    before = engine.metric(engine.written)
    body = chat(far, max_tokens=_MANY, ignore_eos=True, stream=True)
    with api.stream("POST", CHAT, json=body) as response:
        assert response.status_code == 200, response.read()
        # The response is closed with what reads it.
        lines = response.iter_lines()
        assert next(lines)
        _wait_until(lambda: engine.metric(engine.running) >= 1)
    _wait_until(lambda: engine.metric(engine.running) == 0)
    assert engine.metric(engine.written) - before < _MANY


def test_the_dashboards_panels_of_upstreams_ask_for_what_it_measures(
    engine: Engine, far: str, api: httpx.Client
) -> None:
    """Panels of a kind of server that is no upstream ask for nothing of it."""
    prefix = {"vllm": "vllm:", "llama-server": "llamacpp:"}.get(engine.dialect)
    if prefix is None:
        pytest.skip("this server's own metrics have a test of their own")
    api.post(CHAT, json=chat(far)).raise_for_status()
    dashboard = (ROOT / "deploy/grafana/llm-manager.json").read_text(encoding="utf-8")
    queries = [
        target["expr"]
        for panel in json.loads(dashboard)["panels"]
        for target in panel.get("targets", ())
    ]
    asked = set(re.findall(rf"{prefix}[a-z_]+", " ".join(queries)))
    assert len(asked) > 2
    samples = {
        sample.split("{")[0].split(" ")[0] for sample in engine.metrics().splitlines()
    }
    assert asked <= samples


@pytest.mark.parametrize("dialect", ["llm-manager", "llama-server", "vllm"])
def test_embeddings_are_the_upstreams_vectors(
    api: httpx.Client,
    server: Server,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    dialect: str,
) -> None:
    with ExitStack() as stack:
        engine = stack.enter_context(_of_vectors(dialect, server, request, tmp_path))
        far = add(api, engine, f"vectors-{dialect}")
        stack.callback(remove, api, f"vectors-{dialect}")
        body = {"input": ["red", "green and blue"], "encoding_format": "float"}
        there = engine.post(
            "/embeddings", {**body, "model": engine.models["embeddings"]}
        ).json()
        here = api.post("/v1/embeddings", json={**body, "model": far}).json()
    assert here["model"] == far
    assert here["usage"] == there["usage"]
    size = 576 if dialect == "vllm" else 384
    assert [len(each["embedding"]) for each in here["data"]] == [size, size]
    for one, other in zip(here["data"], there["data"], strict=True):
        assert one["embedding"] == pytest.approx(other["embedding"], abs=1e-4)


@contextmanager
def _of_vectors(
    dialect: str, server: Server, request: pytest.FixtureRequest, folder: Path
) -> Iterator[Engine]:
    """A real server with a model of vectors."""
    if dialect == "vllm":
        if reason := missing_vllm():
            pytest.skip(reason)
        with vllm_vectors(folder / "log") as engine:
            yield engine
        return
    model: Path = request.getfixturevalue("embedding_model_path")
    if dialect == "llm-manager":
        yield replace(ours(server), models={"embeddings": EMBEDDER})
        return
    if reason := missing_llama_server():
        pytest.skip(reason)
    with llama_server(model, folder / "log", "--embeddings") as engine:
        yield engine
