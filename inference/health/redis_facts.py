"""What Redis says of itself, and how many requests wait in it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from channels.layers import channel_layers
from django.conf import settings
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from inference.transport.queue import queue_name
from llm_manager.config.network_silence import redis_options
from llm_manager.lib.redis.clients import make_client
from registry.models import Model

#: If Redis has not answered in this time, it counts as unreachable.
_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """Redis, as it answered; ``error`` is why it did not, else "".

    ``memory_limit_bytes`` is 0 if it has none. ``queues`` are the requests that no
    worker has taken, by the name of their model.
    """

    latency_ms: float
    error: str = ""
    version: str = ""
    memory_bytes: int = 0
    memory_limit_bytes: int = 0
    queues: dict[str, int] = field(default_factory=dict)


def redis_facts() -> RedisFacts:
    """Ask Redis, in three round trips and one query. Raises DatabaseError."""
    rows = list(
        Model.objects.servable().files().order_by("name").values_list("pk", "name")
    )
    started = time.perf_counter()
    try:
        client = _client(settings.REDIS_URL)
        # Before the clock runs: a process has no connection at first.
        client.ping()
        started = time.perf_counter()
        client.ping()
        latency_ms = (time.perf_counter() - started) * 1000
        answers = _ask(client, [pk for pk, _ in rows])
    except (OSError, RedisError) as error:
        latency_ms = (time.perf_counter() - started) * 1000
        return RedisFacts(latency_ms, error=str(error) or type(error).__name__)
    server, memory, *depths = answers
    return RedisFacts(
        latency_ms,
        version=str(server["redis_version"]),
        memory_bytes=int(memory["used_memory"]),
        memory_limit_bytes=int(memory.get("maxmemory", 0)),
        queues={name: int(n) for (_, name), n in zip(rows, depths, strict=True)},
    )


@cache
def _client(url: str) -> Any:
    """Return a client that waits for seconds only; others wait for as long as it takes.

    Threads may share it.
    """
    options = {**redis_options(url), "socket_connect_timeout": _TIMEOUT_S}
    return make_client(
        url, socket_timeout=_TIMEOUT_S, retry=Retry(NoBackoff(), 0), **options
    )


def _ask(client: Any, model_ids: list[int]) -> list[Any]:
    prefix = channel_layers["queue"].prefix
    with client.pipeline(transaction=False) as pipeline:
        pipeline.info("server")
        pipeline.info("memory")
        for pk in model_ids:
            pipeline.zcard(prefix + queue_name(pk))
        answers: list[Any] = pipeline.execute()
    return answers
