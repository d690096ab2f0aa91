"""How busy a web process takes replicas to be, by their heartbeats."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from inference.engine import SamplingParams
from inference.engine.request import GenerationRequest
from inference.transport.affinity.prefix_affinity import PrefixAffinity
from inference.transport.messages.peers import WorkerHeartbeat
from inference.transport.queue import ModelQueue

QUEUE = ModelQueue(7, "m", 60.0)
PROMPT = "a long beginning " * 20


class Heartbeats:
    """Two workers that serve."""

    def serving(self, _channel: str) -> set[str]:
        return {"one", "two"}


@dataclass(eq=False)
class Request:
    """A stream of a prompt that worker "one" has."""

    holder: str = ""
    worker: str = "one"
    was_detached: bool = False
    prefixes: tuple[tuple[int, float], ...] = ()
    queue: ClassVar[ModelQueue] = QUEUE
    request: GenerationRequest = field(
        default_factory=lambda: GenerationRequest(
            "", [], SamplingParams(), prompt=PROMPT, owner="o"
        )
    )


@pytest.fixture
def own() -> list[Request]:
    """The streams of the web process."""
    return []


@pytest.fixture
def affinity(own: list[Request]) -> PrefixAffinity:
    streams: Any = own
    heartbeats: Any = Heartbeats()
    made = PrefixAffinity(streams, heartbeats, bound=8)
    made.open("reply.here")
    return made


def say(affinity: PrefixAffinity, name: str, **requests_by: int) -> None:
    """Take a heartbeat of a worker with two slots."""
    counts = {f"reply.{web}": count for web, count in requests_by.items()}
    heartbeat = WorkerHeartbeat(
        QUEUE.channel,
        name,
        f"control.{name}",
        surplus=0,
        requests=sum(counts.values()),
        slots=2,
        requests_by=counts,
    )
    affinity.hear(heartbeat)


def chosen(affinity: PrefixAffinity) -> str:
    """Return where the next request goes that "one" has the prompt of."""
    first: Any = Request()
    affinity.choose(first)
    affinity._known.put("one", (number for number, _ in first.prefixes))
    again: Any = Request()
    return affinity.choose(again)


def test_own_requests_that_have_ended_since_the_heartbeat_take_no_room(
    affinity: PrefixAffinity,
) -> None:
    say(affinity, "one", here=2)
    say(affinity, "two")
    assert chosen(affinity) == "one"


def test_requests_of_other_web_processes_take_room(affinity: PrefixAffinity) -> None:
    say(affinity, "one", elsewhere=2)
    say(affinity, "two")
    assert chosen(affinity) != "one"


def test_own_requests_take_room_as_soon_as_they_are_sent(
    affinity: PrefixAffinity, own: list[Request]
) -> None:
    say(affinity, "one", elsewhere=1)
    say(affinity, "two")
    own.append(Request(holder="one"))
    assert chosen(affinity) != "one"
