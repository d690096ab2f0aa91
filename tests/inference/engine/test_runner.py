from __future__ import annotations

import queue
from typing import TYPE_CHECKING

from inference.engine import (
    Add,
    Cancel,
    EngineCore,
    EngineRunner,
    GenerationRequest,
    ModelLoadError,
    SamplingParams,
)
from inference.engine.output import EngineStats
from inference.engine.telemetry import Telemetry
from tests.inference.engine.fakes import FakeBackend
from tests.llm_manager.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from inference.engine.backend import Backend
    from inference.engine.runner import Core
    from inference.engine.sequence import Arrival

_WAIT_S = 10.0


class Listener:
    """Collects what the engine thread calls."""

    def __init__(
        self,
        load: Callable[[], Backend],
        make_core: Callable[[Backend], Core] = EngineCore,
    ) -> None:
        self.calls: queue.Queue[tuple[str, object]] = queue.Queue()
        self.runner = EngineRunner(
            load,
            on_ready=lambda backend: self.calls.put(("ready", backend)),
            on_outputs=lambda outputs: self.calls.put(("outputs", outputs)),
            on_failed=lambda error: self.calls.put(("failed", error)),
            make_core=make_core,
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


class _WaitingCore:
    """Has work that it does not begin until another request comes."""

    def __init__(self, wait_s: float) -> None:
        self.telemetry = Telemetry()
        self.has_work = False
        self.wait_s = 0.0
        self.came_at: list[float] = []
        self._wait_s = wait_s

    def add(self, request: GenerationRequest, arrival: Arrival) -> None:
        self.came_at.append(arrival.at)
        self.has_work = True

    def abort(self, request_ids: Iterable[str]) -> None:
        raise AssertionError

    def step(self) -> list[int]:
        is_waiting = self.wait_s == 0 and len(self.came_at) == 1
        self.wait_s = self._wait_s if is_waiting else 0.0
        self.has_work = is_waiting
        return [] if is_waiting else [len(self.came_at)]

    def warm_up(self) -> None:
        return

    def tidy(self) -> None:
        return

    def rest(self) -> None:
        return

    def stats(self) -> EngineStats:
        return EngineStats()

    def check_integrity(self) -> None:
        return

    def close(self) -> None:
        return


def _request(name: str) -> GenerationRequest:
    return GenerationRequest(name, [1], SamplingParams())


def _listener(core: _WaitingCore) -> Listener:
    listener = Listener(FakeBackend, make_core=lambda _: core)
    assert listener.next()[0] == "ready"
    return listener


def test_a_core_that_waits_goes_on_at_once_when_a_request_comes() -> None:
    core = _WaitingCore(wait_s=1000 * _WAIT_S)
    listener = _listener(core)
    listener.runner.send(Add(_request("a")))
    wait_until(lambda: core.wait_s > 0)
    listener.runner.send(Add(_request("b")))
    assert listener.next() == ("outputs", [2])
    first, second = core.came_at
    assert first < second
    listener.runner.stop(_WAIT_S)


def test_a_core_goes_on_after_its_wait_though_nobody_came() -> None:
    core = _WaitingCore(wait_s=0.01)
    listener = _listener(core)
    listener.runner.send(Add(_request("a")))
    assert listener.next() == ("outputs", [1])
    listener.runner.stop(_WAIT_S)
