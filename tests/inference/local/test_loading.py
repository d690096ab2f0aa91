"""What happens to a load, and to its worker, when something comes between."""

from __future__ import annotations

import asyncio
import os
import threading
from asyncio.subprocess import PIPE, Process
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from inference.capacity.machine import Machine
from inference.node.children.worker_process import WorkerProcess
from inference.worker.node_pipe import WorkerReport, report_to_line
from llm_manager import LLMManager, errors
from tests.inference.engine.fakes import FakeBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from inference.engine.step import Sampled, StepPlan

WAIT_S = 10.0
HELLO = [{"role": "user", "content": "hello"}]


class SlowBackend(FakeBackend):
    """A scripted model; a load or a step waits for ``go_on`` once it is ``armed``."""

    def __init__(self) -> None:
        super().__init__(n_seq_max=4, n_ctx=4096)
        self.script("hello", "good day")
        self.script("x", "y" * 4000)
        self.armed, self.waits = threading.Event(), threading.Event()
        self.go_on, self.closed = threading.Event(), threading.Event()
        self.num_loads = 0

    def load(self, _progress: object) -> FakeBackend:
        self.num_loads += 1
        self._wait()
        return self

    def decode(self, plan: StepPlan) -> dict[int, Sampled]:
        self._wait()
        return super().decode(plan)

    def close(self) -> None:
        super().close()
        self.closed.set()

    def _wait(self) -> None:
        if self.armed.is_set():
            self.waits.set()
            assert self.go_on.wait(4 * WAIT_S)


@pytest.fixture
def slow(manager: LLMManager, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowBackend]:
    """The scripted model that every load of the manager returns."""
    backend = SlowBackend()
    monkeypatch.setattr("inference.local.workers.llama_loader", lambda _: backend.load)
    yield backend
    backend.go_on.set()


async def until(is_so: Callable[[], Any]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not is_so():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("name", ["large", "large.gguf", None])
async def test_a_request_during_a_load_waits_for_the_model_with_its_settings(
    manager: LLMManager, slow: SlowBackend, name: str | None
) -> None:
    slow.armed.set()
    loading = asyncio.create_task(manager.load_model_async("large", {"n_ctx": 512}))
    await until(slow.waits.is_set)
    asking = asyncio.create_task(
        manager.generate_async(HELLO, model=name, max_tokens=1)
    )
    await until(lambda: manager._models._changing._waiters)
    slow.armed.clear()
    slow.go_on.set()
    await loading
    assert (await asking)["model"] == "large"
    loaded = manager._models.get("large")
    assert loaded is not None
    assert (loaded.plan.engine.n_ctx, slow.num_loads) == (512, 1)


async def test_a_cancelled_load_leaves_no_model_behind(
    manager: LLMManager, slow: SlowBackend
) -> None:
    slow.armed.set()
    loading = asyncio.create_task(manager.load_model_async("large"))
    await until(slow.waits.is_set)
    loading.cancel()
    await asyncio.gather(loading, return_exceptions=True)
    slow.go_on.set()
    await until(slow.closed.is_set)
    assert manager.loaded_models == []


async def test_unloading_waits_for_a_step_without_holding_up_the_other_models(
    manager: LLMManager, slow: SlowBackend
) -> None:
    manager.load_model("large")
    stream = manager.generate(prompt="x", stream=True, max_tokens=4000)
    next(stream)
    slow.armed.set()
    await until(slow.waits.is_set)
    unloading = asyncio.create_task(manager.unload_model_async("large"))
    await until(lambda: not manager.loaded_models)
    found = await asyncio.wait_for(manager.list_models_async(), WAIT_S / 2)
    assert len(found) == 3
    assert not unloading.done()
    slow.go_on.set()
    await unloading
    with pytest.raises(errors.ModelUnloaded):
        list(stream)


@pytest.fixture
def process_manager(
    models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LLMManager]:
    """A manager whose workers are processes; a test sets ``spawn_worker``."""

    async def no_gpus() -> Machine:
        return Machine()

    monkeypatch.setattr("inference.local.loaded_models.machine_probe", no_gpus)
    with LLMManager(models_dir) as manager:
        yield manager


async def spawn(
    script: str,
    made: list[Process],
    _n_threads: int,
    *,
    arguments: tuple[str, ...],
    pass_fds: tuple[int, ...],
    **_: object,
) -> Process:
    """Start a shell script instead of a worker; ``$1`` is its socket."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", script, "bash", *arguments),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env=dict(os.environ),
        pass_fds=pass_fds,
    )
    made.append(process)
    return process


async def test_a_load_that_is_cancelled_while_its_process_starts_leaves_no_process(
    process_manager: LLMManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Process] = []
    starts = threading.Event()

    async def hang(_process: WorkerProcess, _line: str) -> None:
        starts.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(
        "inference.local.workers.spawn_worker", partial(spawn, "cat", made)
    )
    monkeypatch.setattr(WorkerProcess, "_write", hang)
    loading = asyncio.create_task(process_manager.load_model_async("large"))
    await until(starts.is_set)
    loading.cancel()
    await asyncio.gather(loading, return_exceptions=True)
    await until(lambda: not psutil.pid_exists(made[0].pid))


def test_a_worker_whose_events_cannot_be_read_has_crashed(
    process_manager: LLMManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = report_to_line(WorkerReport("ready", n_ctx=4096, n_seq_max=4)).rstrip()
    script = (
        f"read -r spec; echo '{ready}'; head -c 1 <&$1 >/dev/null;"
        # One byte, which msgpack never writes.
        "printf '\\x00\\x00\\x00\\x01\\xc1' >&$1; cat"
    )
    monkeypatch.setattr(
        "inference.local.workers.spawn_worker", partial(spawn, script, [])
    )
    process_manager.load_model("large")
    asked = process_manager.generate_async(HELLO, max_tokens=1)
    with pytest.raises(errors.WorkerCrashed, match="events cannot be read"):
        asyncio.run(asyncio.wait_for(asked, WAIT_S))
