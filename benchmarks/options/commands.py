"""What each command is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.workloads.serving import Workload


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """What is measured, how often, and where the figures go."""

    systems: tuple[str, ...]
    workloads: tuple[Workload, ...]
    rounds: int
    quantization: str
    json: bool
    output: Path | None


@dataclass(frozen=True, slots=True)
class ProfileOptions:
    """Of how many streams the steps are taken apart."""

    streams: tuple[int, ...]
    quantization: str


@dataclass(frozen=True, slots=True)
class InterferenceOptions:
    """How many streams decode beside a prompt of how many tokens, how often."""

    streams: int
    prompt_tokens: int
    rounds: int
    cpu_time: bool
    quantization: str
    targets: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class GrammarOptions:
    """How often each grammar is gone through."""

    rounds: int


@dataclass(frozen=True, slots=True)
class SchemaOptions:
    """The most tokens of an answer; a model's file instead of the sample."""

    tokens: int
    model: Path | None


@dataclass(frozen=True, slots=True)
class HostileOptions:
    """Which attacks, how often and how long each, and the ratio that fails the run."""

    attacks: tuple[str, ...]
    rounds: int
    seconds: float
    limit: float
    quantization: str


@dataclass(frozen=True, slots=True)
class SoakOptions:
    """How long, how hard."""

    minutes: float
    clients: int
    seed: int
    quantization: str


@dataclass(frozen=True, slots=True)
class EmbeddingOptions:
    """How many requests at once, of how many texts, how long each, how often."""

    requests: int
    batch: int
    tokens: int
    rounds: int


@dataclass(frozen=True, slots=True)
class FaultOptions:
    """How long the pauses are, which faults, and the page that gets the rows."""

    seconds: tuple[float, ...]
    only: tuple[str, ...]
    quantization: str
    output: Path | None

    def has(self, name: str) -> bool:
        """Whether the fault of this name is chosen."""
        return not self.only or any(word in name for word in self.only)


@dataclass(frozen=True, slots=True)
class NodesOptions:
    """How many streams, which faults, and the page that gets the rows."""

    streams: int
    only: tuple[str, ...]
    quantization: str
    output: Path | None

    def has(self, name: str) -> bool:
        """Whether the fault of this name is chosen."""
        return not self.only or any(word in name for word in self.only)


@dataclass(frozen=True, slots=True)
class UsageOptions:
    """Which parts are measured, and how many rows there are."""

    parts: tuple[str, ...]
    rows: int
    minutes: float
    is_postgresql: bool
    quantization: str


@dataclass(frozen=True, slots=True)
class IdleOptions:
    """How long it is left alone, before and while it is measured.

    More than ``limit`` percent of a core fails the run.
    """

    seconds: float
    settle: float
    limit: float
    quantization: str


@dataclass(frozen=True, slots=True)
class StartOptions:
    """How often the server is started, and of what shape the model is, if it is random.

    ``rest`` are the seconds from the model's unloading to the next request.
    """

    rounds: int
    rest: float
    shape: str | None
    quantization: str


@dataclass(frozen=True, slots=True)
class TargetOptions:
    """Which targets in milliseconds, under which workloads; where plots go, if any."""

    targets: tuple[int, ...]
    workloads: tuple[Workload, ...]
    rounds: int
    plots: Path | None
    quantization: str


@dataclass(frozen=True, slots=True)
class GpuOptions:
    """Which models are written and where, how they are loaded, where the JSON goes."""

    shape: str
    quantizations: tuple[str, ...]
    streams: tuple[int, ...]
    n_ctx: int
    rounds: int
    folder: Path | None
    output: Path


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """Live clients, each with ``requests`` in a phase, and the lines of the batch.

    ``pause`` is the mean of the seconds before each request. A p95 beside the batch of
    more than ``limit`` times that without one fails the run.
    """

    lines: int
    clients: int
    requests: int
    pause: float
    rounds: int
    limit: float
    quantization: str


@dataclass(frozen=True, slots=True)
class MediaOptions:
    """How many streams decode beside which kinds of media.

    An inter-token latency at p95 of more than ``limit`` milliseconds fails the run.
    """

    kinds: tuple[str, ...]
    streams: int
    rounds: int
    limit: float
    quantization: str


@dataclass(frozen=True, slots=True)
class AffinityOptions:
    """How many replicas, and how many chats at once of how many turns.

    A cached share below ``limit`` of that of one replica fails the run.
    """

    replicas: int
    chats: int
    turns: int
    limit: float
    quantization: str


@dataclass(frozen=True, slots=True)
class WebOptions:
    """How many streams ask for how many tokens, at how many milliseconds a step.

    A core of web process that carries less than the limits fails the run.
    """

    streams: int
    tokens: int
    step_ms: float
    seconds: float
    tokens_per_s: float
    requests_per_s: float


@dataclass(frozen=True, slots=True)
class UpstreamOptions:
    """How many streams of how many tokens an upstream sends, one each ``step_ms``.

    A token that costs more milliseconds of CPU than the limit fails the run.
    """

    streams: int
    tokens: int
    step_ms: float
    seconds: float
    limit_ms: float


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """Fleets by their number of nodes, and what is the same for all of them.

    ``webs`` 0 is as many as the load takes. A file for each chart goes to ``plots``.
    """

    nodes: tuple[int, ...]
    machine: str
    requests: int
    replicas: int
    webs: int
    redis: int
    bound: int
    seed: int
    processes: int
    plots: Path | None


Options = (
    AffinityOptions
    | BatchOptions
    | CompareOptions
    | EmbeddingOptions
    | FaultOptions
    | FleetOptions
    | GpuOptions
    | GrammarOptions
    | HostileOptions
    | IdleOptions
    | InterferenceOptions
    | MediaOptions
    | NodesOptions
    | ProfileOptions
    | SchemaOptions
    | SoakOptions
    | StartOptions
    | TargetOptions
    | UpstreamOptions
    | UsageOptions
    | WebOptions
)
