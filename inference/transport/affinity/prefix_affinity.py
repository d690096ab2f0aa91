"""Sends requests to the replica that has their prefix in its cache.

A web process learns who has what from the requests that it sends, and from what the
workers say once a second, for those that other web processes send. See
docs/adr/0042-prefix-affinity.md.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.engine.output import SequenceOutput
from inference.engine.request import GenerationRequest
from inference.transport.affinity.choice import ReplicaLoad, choose_replica
from inference.transport.affinity.known_prefixes import KnownPrefixes
from inference.transport.affinity.metrics import ROUTED, SAVED_TOKENS, Routing
from inference.transport.affinity.prefix_hashes import prefix_hashes
from inference.transport.messages.events import Accepted, Taken

if TYPE_CHECKING:
    from inference.transport.messages.events import Event
    from inference.transport.messages.peers import WorkerHeartbeat
    from inference.transport.stream import Stream
    from inference.transport.streams import Streams
    from inference.transport.worker_heartbeats import WorkerHeartbeats


@dataclass(slots=True)
class _Replica:
    """What a worker last said: its slots, and requests of other web processes."""

    slots: int
    of_others: int


class PrefixAffinity:
    """Chooses replicas for the requests of one web process.

    ``bound`` is how many more requests than the least busy replica the one with the
    prefix may have; 0 chooses none, ever.
    """

    def __init__(
        self, streams: Streams, heartbeats: WorkerHeartbeats, *, bound: int
    ) -> None:
        self._streams = streams
        self._heartbeats = heartbeats
        self._bound = bound
        self._reply_to = ""
        self._known = KnownPrefixes()
        #: By queue and incarnation.
        self._replicas: dict[str, dict[str, _Replica]] = {}

    def open(self, reply_to: str) -> None:
        """Note the channel that this web process gets events by."""
        self._reply_to = reply_to

    def hear(self, heartbeat: WorkerHeartbeat) -> None:
        """Take what a worker says of its requests and prefixes."""
        if not heartbeat.slots:
            # One of an earlier version, without a queue of its own.
            return
        name = heartbeat.incarnation
        if heartbeat.requests_by:
            own = heartbeat.requests_by.get(self._reply_to, 0)
        else:
            # One of an earlier version. What has ended since counts as another one's.
            own = sum(stream.holder == name for stream in self._streams)
        of_others = max(0, heartbeat.requests - own)
        replicas = self._replicas.setdefault(heartbeat.queue, {})
        replicas[name] = _Replica(heartbeat.slots, of_others)
        self._known.put(name, heartbeat.prefixes)

    def choose(self, stream: Stream) -> str:
        """Return the replica that should get a request, by incarnation; "" for any.

        One that was queued before is for any: its replica was lost, or too busy.
        """
        request, queue = stream.request, stream.queue
        if (
            not self._bound
            or stream.was_detached
            or not isinstance(request, GenerationRequest)
        ):
            return ""
        loads = self._loads(queue.channel)
        if len(loads) < 2:
            return ""
        stream.prefixes = prefix_hashes(queue.channel, request)
        shares = self._known.shares(stream.prefixes, loads)
        chosen = choose_replica(shares, loads, bound=self._bound)
        result = Routing.SENT if chosen else Routing.BUSY if shares else Routing.UNKNOWN
        ROUTED.labels(queue.model_name, result).inc()
        return chosen

    def observe(self, stream: Stream, event: Event) -> None:
        """Note which replica has a stream's prompt, and what it had of it before."""
        if isinstance(event, Taken | Accepted):
            self._known.put(stream.worker, (number for number, _ in stream.prefixes))
        elif (
            stream.sent_to
            and isinstance(event, SequenceOutput)
            and event.is_start
            and stream.worker == stream.sent_to
        ):
            SAVED_TOKENS.labels(stream.queue.model_name).inc(event.num_cached)

    def _loads(self, channel: str) -> dict[str, ReplicaLoad]:
        """Return the loads of a queue's replicas that serve."""
        serving = self._heartbeats.serving(channel)
        replicas = self._replicas.get(channel, {})
        for name in replicas.keys() - serving:
            del replicas[name]
        if len(replicas) < 2:
            return {}
        own = Counter(stream.holder for stream in self._streams)
        return {
            name: ReplicaLoad(replica.of_others + own[name], replica.slots)
            for name, replica in replicas.items()
        }
