"""One model with its queue, its workers and one web process, over a real Redis.

The models are scripted, and what the database would tell is the test's to say.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from channels.layers import channel_layers

from inference.engine import EngineConfig, SamplingParams
from inference.engine.output import SequenceOutput
from inference.engine.request import GenerationRequest
from inference.serving import ServingStatus
from inference.transport.client import EngineClient
from inference.transport.queue import ModelQueue, queue_name
from inference.transport.stream import Stream, new_request_id
from inference.worker.node_pipe import WorkerReport, WorkerSpec
from inference.worker.queue.server import QueueServer
from tests.inference.engine.fakes import FakeBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from accounts.errors import ApiKeyEnded
    from accounts.keys.live_keys import KeyUse
    from inference.engine.backend import Backend
    from inference.engine.embedding.backend import EmbeddingBackend
    from inference.engine.step import Sampled, StepPlan
    from inference.transport.messages.events import Event
    from tests.inference.engine.fake_embedder import FakeEmbedder

WAIT_S = 20.0


class Gate:
    """Lets the steps of a model through, some or all."""

    def __init__(self) -> None:
        self._steps = threading.Semaphore(0)
        self._is_open = False

    def allow(self, steps: int) -> None:
        self._steps.release(steps)

    def open(self) -> None:
        self._is_open = True
        self._steps.release()

    def wait(self) -> None:
        assert self._steps.acquire(timeout=WAIT_S)
        if self._is_open:
            self._steps.release()


class GatedBackend(FakeBackend):
    """A scripted model whose steps wait for the test's word."""

    def __init__(self, gate: Gate, *, n_seq_max: int = 2) -> None:
        super().__init__(n_seq_max=n_seq_max, n_ctx=4096)
        self._gate = gate

    def decode(self, plan: StepPlan) -> dict[int, Sampled]:
        if not plan.items[0].sequence.request_id.startswith("warm-up"):
            self._gate.wait()
        return super().decode(plan)

    def computed(self) -> str:
        """Return every token that was computed, as text."""
        items = [item for plan in self.plans for item in plan.items]
        return "".join(chr(token) for item in items for token in item.tokens)


class World:
    """One model with its queue, its workers, and the web side's view of them."""

    model_id = 7
    max_waiting = 100
    affinity_bound = 8

    def __init__(self) -> None:
        self.status = ServingStatus(has_worker=True)
        self.workers: dict[str, asyncio.Task[int]] = {}
        self.reports: dict[str, WorkerReport] = {}
        self.client = EngineClient(
            queue_layer=channel_layers["queue"],
            reply_layer=channel_layers["default"],
            affinity_bound=self.affinity_bound,
        )
        self.ended_keys: dict[str, ApiKeyEnded] = {}
        self.num_ensured = 0
        self.looks = 0

    async def ensure_worker(
        self, model_id: int, heard: frozenset[str] = frozenset(), *, by: str = ""
    ) -> bool:
        self.num_ensured += 1
        return False

    def serving_statuses(
        self, ids: Iterable[int], heard: frozenset[str] = frozenset()
    ) -> dict[int, ServingStatus]:
        self.looks += 1
        return dict.fromkeys(ids, self.status)

    def ended_key_uses(self, uses: Collection[KeyUse]) -> dict[KeyUse, ApiKeyEnded]:
        return {
            use: self.ended_keys[use[0]] for use in uses if use[0] in self.ended_keys
        }

    def start_worker(
        self,
        backend: FakeBackend | FakeEmbedder,
        name: str = "life-1",
        *,
        task: str = "generate",
        queue_layer: Any = None,
        reply_layer: Any = None,
        fingerprint: str = "",
    ) -> QueueServer:
        def load(progress: Callable[[float], None]) -> Backend | EmbeddingBackend:
            progress(1.0)
            return backend

        def report(status: WorkerReport) -> None:
            self.reports[name] = status

        spec = WorkerSpec(
            queue=queue_name(self.model_id),
            incarnation=name,
            model_name="fake",
            max_waiting=self.max_waiting,
            engine=EngineConfig(
                paths=(), n_ctx=64, n_seq_max=2, task=task, fingerprint=fingerprint
            ),
        )
        worker = QueueServer(
            spec,
            # As in a process of its own: in one layer, receivers wait for each other.
            queue_layer=queue_layer or channel_layers.make_backend("queue"),
            reply_layer=reply_layer or channel_layers["default"],
            report=report,
            load=load,
        )
        self.workers[name] = asyncio.create_task(worker.run())
        self.tell_rows()
        return worker

    async def kill(self, name: str) -> None:
        """End a worker without a word, as a signal would."""
        await self.end(name)
        self.tell_rows()

    async def kill_workers(self) -> None:
        """End all workers; their rows say so later, or the test does."""
        for name in list(self.workers):
            await self.end(name)

    async def end(self, name: str) -> None:
        """End a worker without a word; its row says later that it is gone."""
        task = self.workers.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def tell_rows(self) -> None:
        """Let the rows say which workers there are."""
        self.status = ServingStatus(
            incarnations=frozenset(self.workers),
            has_worker=True,
            is_serving=bool(self.workers),
        )

    async def submit(
        self, prompt: str, key: str = "k", *, timeout_s: float = 30, **fields: Any
    ) -> Stream:
        values: dict[str, Any] = {
            "params": SamplingParams(),
            "add_special_tokens": False,
            "owner": "o",
            **fields,
        }
        request = GenerationRequest(
            new_request_id(), [], prompt=prompt, key=key, **values
        )
        return await self.client.submit(request, self.queue(timeout_s))

    def queue(self, timeout_s: float = 30) -> ModelQueue:
        return ModelQueue(self.model_id, "fake", timeout_s)


async def collect(stream: Stream) -> list[Event]:
    """Read a stream to its end."""
    events: list[Event] = []
    while not events or not events[-1].is_last:
        batch = await stream.events(WAIT_S)
        assert batch, "the stream is silent"
        events += batch
    await stream.aclose()
    return events


def text_of(events: list[Event]) -> str:
    return "".join(e.text for e in events if isinstance(e, SequenceOutput))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)
