"""Runs a fleet through simulated time.

Real are each node's engine core with its scheduler, fairness, pacing and prefix cache,
and the choice of a replica for a request. A web process, a shard of Redis and the
database are queues with a cost for each thing. Events are in the order of their
beginning: what two queues pass on to each other is a little early where they are long.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from benchmarks.fleet.costs import Costs
from benchmarks.fleet.node import Node
from benchmarks.fleet.server import Server
from benchmarks.fleet.traffic import Traffic
from inference.engine.request import GenerationRequest
from inference.engine.sampling.params import SamplingParams
from inference.transport.affinity.choice import ReplicaLoad, choose_replica
from inference.transport.affinity.known_prefixes import KnownPrefixes
from inference.transport.affinity.prefix_hashes import prefix_hashes

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.fleet.costs import Machine
    from benchmarks.fleet.traffic import Conversation
    from inference.engine.output import SequenceOutput

_A = ord("a")


@dataclass(frozen=True, slots=True)
class Fleet:
    """How many of everything; ``replicas`` nodes have the same model.

    ``per_s`` requests come in a second. ``bound`` is that of prefix affinity, 0 for
    none.
    """

    nodes: int
    replicas: int
    webs: int
    redis: int
    machine: Machine
    per_s: float
    bound: int = 8
    costs: Costs = field(default_factory=Costs)


@dataclass(slots=True)
class Outcome:
    """What came of a run. ``began_s`` are times to the first token, at the client.

    ``gaps_s`` are the times between tokens, a sample of them; shares are of the whole
    time, ``redis`` and ``web`` those of the busiest.
    """

    began_s: list[float] = field(default_factory=list)
    gaps_s: list[float] = field(default_factory=list)
    requests: int = 0
    tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    frames: int = 0
    took_s: float = 0.0
    web: float = 0.0
    redis: float = 0.0
    database: float = 0.0

    @property
    def cached_share(self) -> float:
        """The share of prompts' tokens that were in the cache."""
        return self.cached_tokens / max(1, self.prompt_tokens)


@dataclass(slots=True)
class _Stream:
    """A request on its way: ``arrived`` at its web process, ``heard`` of last."""

    conversation: Conversation
    web: int
    node: Node
    arrived: float
    heard: float = 0.0


class Simulation:
    """One run of a fleet."""

    def __init__(self, fleet: Fleet, *, requests: int, seed: int) -> None:
        self._fleet = fleet
        self._left = requests
        self._traffic = Traffic(nodes=fleet.nodes, replicas=fleet.replicas, seed=seed)
        self._nodes = [
            Node(f"node-{number}", number // fleet.replicas, fleet.machine)
            for number in range(fleet.nodes)
        ]
        self._replicas: dict[int, dict[str, Node]] = {}
        for node in self._nodes:
            self._replicas.setdefault(node.model, {})[node.name] = node
        self._known = {model: KnownPrefixes() for model in self._replicas}
        self._webs = [Server() for _ in range(fleet.webs)]
        self._redis = [Server() for _ in range(fleet.redis)]
        self._database = Server()
        self._streams: dict[str, _Stream] = {}
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = count()
        self._ids = count()
        self._outcome = Outcome()

    def run(self) -> Outcome:
        """Run until every request has its answer."""
        self._at(0.0, self._begin)
        now = 0.0
        while self._events:
            now, _, event = heapq.heappop(self._events)
            event(now)
        outcome, took = self._outcome, max(now, 1e-9)
        outcome.took_s = took
        outcome.web = max(each.busy_s for each in self._webs) / took
        outcome.redis = max(each.busy_s for each in self._redis) / took
        outcome.database = self._database.busy_s / took
        return outcome

    def _at(self, when: float, event: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), event))

    # Requests -------------------------------------------------------------------

    def _begin(self, now: float) -> None:
        """Begin a conversation, and say when the next one begins."""
        if self._left <= 0:
            return
        rate = self._fleet.per_s / self._traffic.requests_of_conversation
        self._at(now + self._traffic.gap_s(rate), self._begin)
        self._ask(now, self._traffic.begin())

    def _ask(self, now: float, conversation: Conversation) -> None:
        if self._left <= 0:
            return
        self._left -= 1
        length = self._traffic.ask(conversation)
        request = GenerationRequest(
            request_id=str(next(self._ids)),
            prompt_token_ids=list(conversation.tokens),
            params=SamplingParams(temperature=0, max_tokens=length),
            owner=str(conversation.key),
            key=str(conversation.key),
        )
        costs = self._fleet.costs
        web = self._traffic.place(len(self._webs))
        node = self._route(conversation.model, request)
        node.requests += 1
        self._streams[request.request_id] = _Stream(conversation, web, node, now)
        queued = self._webs[web].work(now, costs.web_begin_s)
        self._at(queued, lambda at: self._queue(at, node, request))

    def _queue(self, now: float, node: Node, request: GenerationRequest) -> None:
        sent = self._shard(node.model).work(now, self._fleet.costs.redis_request_s)
        self._at(sent, lambda at: self._take(at, node, request))

    def _route(self, model: int, request: GenerationRequest) -> Node:
        """Return the replica with the prefix, or else the one with most room."""
        replicas = self._replicas[model]
        loads = {
            name: ReplicaLoad(node.requests, node.slots)
            for name, node in replicas.items()
        }
        chosen = ""
        if self._fleet.bound and len(replicas) > 1:
            hashes = prefix_hashes(str(model), request)
            shares = self._known[model].shares(hashes, loads)
            chosen = choose_replica(shares, loads, bound=self._fleet.bound)
            chosen = chosen or min(loads, key=lambda name: loads[name].requests)
            self._known[model].put(chosen, (number for number, _ in hashes))
        chosen = chosen or min(loads, key=lambda name: loads[name].requests)
        return replicas[chosen]

    def _take(self, now: float, node: Node, request: GenerationRequest) -> None:
        node.add(request, now)
        if not node.is_stepping:
            node.is_stepping = True
            self._step(now, node)

    # Steps ----------------------------------------------------------------------

    def _step(self, now: float, node: Node) -> None:
        end, outputs = node.step(now)
        if outputs:
            self._at(end, lambda at: self._deliver(at, node, outputs))
        if node.wait_s:
            node.is_stepping = False
            node.waits = number = node.waits + 1
            self._at(end + node.wait_s, lambda at: self._go_on(at, node, number))
        elif node.has_work:
            self._at(end, lambda at: self._step(at, node))
        else:
            node.is_stepping = False

    def _go_on(self, now: float, node: Node, number: int) -> None:
        """Run a step after a wait, unless a request has come in it."""
        if node.has_work and not node.is_stepping and node.waits == number:
            node.is_stepping = True
            self._step(now, node)

    def _deliver(self, now: float, node: Node, outputs: list[SequenceOutput]) -> None:
        """Send a frame to each web process that has a stream of the step."""
        frames: dict[int, list[SequenceOutput]] = {}
        for output in outputs:
            web = self._streams[output.request_id].web
            frames.setdefault(web, []).append(output)
        for web, frame in frames.items():
            self._outcome.frames += 1
            sent = self._shard(node.model).work(now, self._fleet.costs.redis_frame_s)
            self._at(sent, partial(self._read, web, frame))

    def _read(self, web: int, frame: list[SequenceOutput], now: float) -> None:
        """Let a web process read a frame."""
        costs = self._fleet.costs
        tokens = sum(len(output.tokens) for output in frame)
        seconds = costs.web_frame_s + costs.web_token_s * tokens
        heard = self._webs[web].work(now, seconds)
        self._at(heard, lambda at: self._hear_all(at, frame))

    def _hear_all(self, now: float, frame: list[SequenceOutput]) -> None:
        for output in frame:
            self._hear(now, output)

    def _hear(self, now: float, output: SequenceOutput) -> None:
        stream = self._streams[output.request_id]
        outcome = self._outcome
        if output.is_start:
            outcome.prompt_tokens += output.num_prompt
            outcome.cached_tokens += output.num_cached
        if output.tokens:
            if stream.heard:
                outcome.gaps_s.append(now - stream.heard)
            else:
                outcome.began_s.append(now - stream.arrived)
            stream.heard = now
            outcome.tokens += len(output.tokens)
        if output.is_last:
            self._end(now, output)

    def _end(self, now: float, output: SequenceOutput) -> None:
        stream = self._streams.pop(output.request_id)
        stream.node.requests -= 1
        self._outcome.requests += 1
        costs = self._fleet.costs
        self._webs[stream.web].work(now, costs.web_end_s)
        self._database.work(now, costs.database_row_s)
        conversation = stream.conversation
        if conversation.turns > 0:
            conversation.tokens += [_A] * output.num_output
            pause = self._traffic.pause_s()
            self._at(now + pause, lambda at: self._ask(at, conversation))

    def _shard(self, model: int) -> Server:
        return self._redis[model % len(self._redis)]
