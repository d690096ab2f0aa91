from __future__ import annotations

import queue
from typing import TYPE_CHECKING

from inference.engine import (
    Add,
    Cancel,
    EngineRunner,
    GenerationRequest,
    ModelLoadError,
    SamplingParams,
)
from tests.inference.engine.fakes import FakeBackend

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.engine.backend import Backend

_WAIT_S = 10.0


class Listener:
    """Collects what the engine thread calls."""

    def __init__(self, load: Callable[[], Backend]) -> None:
        self.calls: queue.Queue[tuple[str, object]] = queue.Queue()
        self.runner = EngineRunner(
            load,
            on_ready=lambda backend: self.calls.put(("ready", backend)),
            on_outputs=lambda outputs: self.calls.put(("outputs", outputs)),
            on_failed=lambda error: self.calls.put(("failed", error)),
        )
        self.runner.start()

    def next(self) -> tuple[str, object]:
        return self.calls.get(timeout=_WAIT_S)


def test_it_loads_generates_and_frees_the_model() -> None:
    backend = FakeBackend()
    backend.script("hi", "yo")
    listener = Listener(lambda: backend)
    assert listener.next()[0] == "ready"
    listener.runner.send(
        Add(GenerationRequest("a", [ord("h"), ord("i")], SamplingParams()))
    )
    text = ""
    while "yo" not in text:
        kind, outputs = listener.next()
        assert kind == "outputs"
        text += "".join(o.text for o in outputs)  # type: ignore[attr-defined]
    listener.runner.stop(_WAIT_S)
    assert backend.is_closed
    assert listener.runner.stats.requests_total == 1


def test_a_load_that_fails_is_reported_with_its_reason() -> None:
    def load() -> Backend:
        raise ModelLoadError("unknown architecture")

    kind, error = Listener(load).next()
    assert kind == "failed"
    assert "unknown architecture" in str(error)


def test_a_cancelled_request_gives_no_more_output() -> None:
    backend = FakeBackend(n_ctx=100_000)
    backend.script("go", "x" * 90_000)
    listener = Listener(lambda: backend)
    listener.next()
    listener.runner.send(
        Add(GenerationRequest("a", [ord("g"), ord("o")], SamplingParams()))
    )
    assert listener.next()[0] == "outputs"
    listener.runner.send(Cancel(("a",)))
    backend.script("ok", "!")
    listener.runner.send(
        Add(GenerationRequest("b", [ord("o"), ord("k")], SamplingParams()))
    )
    seen = ""
    while seen != "b":
        _, outputs = listener.next()
        seen = outputs[-1].request_id  # type: ignore[index]
    listener.runner.stop(_WAIT_S)
    assert len(backend.shapes) < 90_000
