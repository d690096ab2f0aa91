"""What runs and waits now: the questions about it, and their answers.

Nobody reports it unasked. Answers go to ``answer_to``, a list in Redis.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from inference.engine.output import PrefillProgress


class RunState(StrEnum):
    """What a request does now."""

    WAITS = "waits"
    PREFILLS = "prefills"
    DECODES = "decodes"


@dataclass(frozen=True, slots=True)
class AskRunning:
    """Say which requests you have."""

    answer_to: str


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """End this request, if you have it; ``by`` is the administrator who says so."""

    id: str
    by: str
    answer_to: str


@dataclass(frozen=True, slots=True)
class CurrentRequest:
    """A request as its web process sees it. Times are in seconds since the epoch.

    ``id`` is that of its row of usage, ``request_id`` the ``x-request-id`` of its
    answer. ``waiting`` are the ids of its sequences that have not begun, ``prefilling``
    those of the ones that have, without a token yet. ``in_line`` is whether a worker
    has it; if not, it is in the queue of its model. A ``replica`` of -1 and 0
    ``prompt_tokens`` are not known yet.
    """

    id: str
    request_id: str
    endpoint: str
    model_id: int
    model: str
    key_prefix: str
    key_name: str
    owner: str
    team: str
    client_address: str
    arrived_at: float
    queued_at: float
    is_stream: bool
    state: RunState
    sequences: int
    waiting: tuple[str, ...]
    prefilling: tuple[str, ...]
    in_line: bool
    node: str
    replica: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    tokens_per_second: float | None


@dataclass(frozen=True, slots=True)
class RunningOfWeb:
    """The oldest requests of a web process, and how many more it has."""

    requests: tuple[CurrentRequest, ...]
    more: int


@dataclass(frozen=True, slots=True)
class LineOfWorker:
    """What a worker of a model has: in the order of their starts those that wait.

    ``prefills`` is how far the prompts of others are.
    """

    queue: str
    request_ids: tuple[str, ...]
    prefills: tuple[PrefillProgress, ...] = ()


@dataclass(frozen=True, slots=True)
class CancelAnswer:
    """Whether this web process had the request, which it has ended."""

    was_here: bool
