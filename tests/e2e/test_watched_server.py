"""A server that is watched from outside: traces to a collector, a log in JSON."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

import opentelemetry.semconv._incubating.attributes.gen_ai_attributes as conventions
import pytest

from tests.llm_manager.waiting import wait_until
from tests.shared_server import Q4_0, client_of
from tests.spans import Received, attributes, collector
from tests.whole_server import put_models, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

pytestmark = [pytest.mark.e2e, pytest.mark.model, pytest.mark.long]

SECRET = "the password is swordfish"
PHASES = ["queue", "prefill", "decode"]
CLIENT_SPAN = "00f067aa0ba902b7"


class Watched:
    """A server, what its collector got, and its log."""

    def __init__(self, api: httpx.Client, received: Received, log: Path) -> None:
        self.api = api
        self.received = received
        self._log = log

    def ask(self, trace_id: str, *, flags: str = "01", **more: Any) -> httpx.Response:
        """Send a chat that belongs to a trace of the client's."""
        body = {
            "model": Q4_0,
            "messages": [{"role": "user", "content": SECRET}],
            "max_tokens": 8,
            **more,
        }
        header = {"traceparent": f"00-{trace_id}-{CLIENT_SPAN}-{flags}"}
        return self.api.post("/v1/chat/completions", json=body, headers=header)

    def spans_of(self, trace_id: str, *, count: int) -> dict[str, tuple[Any, Span]]:
        """Return the spans of a trace by their names, once there are so many."""
        wait_until(lambda: len(self.received.of_trace(trace_id)) >= count)
        found = self.received.of_trace(trace_id)
        assert len(found) == count
        return {span.name: (process, span) for process, span in found}

    def lines(self) -> list[str]:
        """Return the lines of the log."""
        return self._log.read_text("utf-8").splitlines()


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    put_models(folder / "models")
    with (
        collector() as (url, received),
        running(
            folder,
            LLM_MANAGER_LOGGING_LEVEL="info",
            LLM_MANAGER_LOGGING_FORMAT="json",
            OTEL_EXPORTER_OTLP_ENDPOINT=url,
            OTEL_BSP_SCHEDULE_DELAY="100",
            OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
        ) as server,
        client_of(server) as api,
    ):
        yield Watched(api, received, folder / "log")


def test_one_trace_goes_from_the_client_to_the_models_phases(watched: Watched) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    began = time.time()
    answer = watched.ask(trace_id).json()
    took = time.time() - began

    spans = watched.spans_of(trace_id, count=6)
    request_process, request = spans["POST /v1/chat/completions"]
    _, chat = spans[f"chat {Q4_0}"]
    worker_process, sequence = spans["sequence"]
    assert request.parent_span_id.hex() == CLIENT_SPAN
    assert request.kind == request.SPAN_KIND_SERVER
    assert attributes(request)["http.response.status_code"] == 200
    assert chat.parent_span_id == request.span_id
    assert sequence.parent_span_id == chat.span_id
    assert {spans[name][1].parent_span_id for name in PHASES} == {sequence.span_id}

    # The phases follow each other without a gap and fill the sequence.
    queue, prefill, decode = (spans[name][1] for name in PHASES)
    times = [
        *(sequence.start_time_unix_nano, queue.start_time_unix_nano),
        *(queue.end_time_unix_nano, prefill.start_time_unix_nano),
        *(prefill.end_time_unix_nano, decode.start_time_unix_nano),
        *(decode.end_time_unix_nano, sequence.end_time_unix_nano),
    ]
    assert times == sorted(times)
    length = request.end_time_unix_nano - request.start_time_unix_nano
    assert 0 < length <= took * 1e9

    usage, found = answer["usage"], attributes(chat)
    assert found["gen_ai.operation.name"] == "chat"
    assert found["gen_ai.request.model"] == Q4_0
    assert found["gen_ai.usage.input_tokens"] == usage["prompt_tokens"]
    assert found["gen_ai.usage.output_tokens"] == usage["completion_tokens"]
    reason = answer["choices"][0]["finish_reason"]
    assert found["gen_ai.response.finish_reasons"] == [reason]
    assert found["gen_ai.response.time_to_first_chunk"] > 0
    assert attributes(decode)["llm_manager.output_tokens"] == 8

    assert request_process["service.name"] == "llm-manager"
    assert request_process["deployment.environment.name"] == "test"
    assert request_process["llm_manager.process"] == "web"
    assert worker_process["llm_manager.process"] == "worker"


def test_the_names_are_those_of_the_convention(watched: Watched) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4737"
    watched.ask(trace_id, stream=True)
    found = watched.spans_of(trace_id, count=6)
    names = {name for _, span in found.values() for name in attributes(span)}
    known = {
        value
        for name, value in vars(conventions).items()
        if name.startswith("GEN_AI_") and isinstance(value, str)
    }
    assert {name for name in names if name.startswith("gen_ai.")} <= known
    assert "gen_ai.provider.name" in names
    assert all(re.match(r"(gen_ai|http|llm_manager|error)\.", name) for name in names)


def test_several_answers_have_phases_each(watched: Watched) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4738"
    watched.ask(trace_id, n=2, temperature=1)
    watched.spans_of(trace_id, count=2 + 2 * 4)


def test_a_refusal_is_an_error_without_the_models_span(watched: Watched) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4739"
    assert watched.ask(trace_id, model="no-such-model").status_code == 404
    (_, span), *_ = watched.spans_of(trace_id, count=1).values()
    assert attributes(span)["http.response.status_code"] == 404


def test_a_trace_that_is_not_recorded_sends_nothing(watched: Watched) -> None:
    silent, next_one = "4bf92f3577b34da6a3ce929d0e0e4740", "a" * 32
    watched.ask(silent, flags="00")
    watched.ask(next_one)
    watched.spans_of(next_one, count=6)
    assert watched.received.of_trace(silent) == []


def test_no_span_has_a_prompt_an_answer_or_a_key(watched: Watched) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4741"
    answer = watched.ask(trace_id).json()["choices"][0]["message"]["content"]
    watched.spans_of(trace_id, count=6)
    key = watched.api.headers["Authorization"].removeprefix("Bearer ")
    for text in (SECRET, answer, key, key[:16]):
        assert text.encode() not in watched.received.raw, text


def test_every_line_of_the_log_is_an_object_and_names_its_request(
    watched: Watched,
) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4742"
    given = watched.ask(trace_id).headers["x-request-id"]

    def access() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in watched.lines()]
        return [line for line in lines if line.get("request_id") == given]

    wait_until(lambda: bool(access()))
    (line,) = access()
    assert line["trace_id"] == trace_id
    assert (line["method"], line["status"]) == ("POST", 200)
    assert line["path"] == "/v1/chat/completions"
    lines = [json.loads(line) for line in watched.lines()]
    assert {"time", "level", "logger", "message"} <= set.intersection(*map(set, lines))
    # What the launcher says is in it, and what the node says of its workers.
    assert any(line.get("model") == Q4_0 or Q4_0 in line["message"] for line in lines)
    key = watched.api.headers["Authorization"].removeprefix("Bearer ")
    assert not any(key in line for line in watched.lines())
    assert not any(SECRET in line for line in watched.lines())
