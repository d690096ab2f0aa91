"""The messages on the pipes between node and worker, as JSON lines.

The worker's standard input carries its specification, then commands; its end
means that the engine is gone. Its standard output carries reports.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from inference.engine.config.engine_config import EngineConfig
from inference.engine.scheduling.pacing.measured import Measured

if TYPE_CHECKING:
    from inference.engine.telemetry import Snapshot
    from inference.models import PendingOfKey


@dataclass(frozen=True, slots=True)
class Drain:
    """The command to take no more requests, and to exit when none is left.

    Pending requests are released, and running ones finish; ``is_now``: running ones are
    released too. With a ``code`` they are not released but end with this error.
    """

    is_now: bool = False
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What a worker serves: its queue, its incarnation, and how to load the model.

    At most ``max_waiting`` requests may be pending, besides those with a slot.
    ``node`` and ``replica`` are what its row has. ``rpc_secret`` opens its RPC servers.
    ``measured`` is what an earlier worker has measured with the same engine.
    """

    queue: str
    incarnation: str
    model_name: str
    max_waiting: int
    engine: EngineConfig
    node: str = ""
    replica: int = 0
    rpc_secret: str = field(default="", repr=False)
    measured: Measured | None = None


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """A worker's state and numbers.

    ``state`` is ``loading``, ``ready``, ``draining`` or ``failed``; ``progress`` of
    loading goes from 0 to 1; ``n_ctx_seen`` is the largest context that a request
    needed so far, prompt and answer; ``oldest_wait_s`` is how long the oldest
    prepared request has waited for its start; ``waiting_by_key`` is the number of
    pending requests by key; ``telemetry`` is the engine's snapshot since the load; the
    rest are counts. ``lost_server`` is the RPC server without which it failed;
    ``measured`` is for the next worker of the model.
    """

    state: str
    progress: float = 0.0
    error: str = ""
    lost_server: str = ""
    n_ctx: int = 0
    n_ctx_max: int = 0
    n_ctx_seen: int = 0
    n_seq_max: int = 0
    running: int = 0
    waiting: int = 0
    waiting_by_key: tuple[PendingOfKey, ...] = ()
    oldest_wait_s: float = 0.0
    kv_cells_used: int = 0
    kv_cells_total: int = 0
    requests_total: int = 0
    prompt_tokens_total: int = 0
    output_tokens_total: int = 0
    telemetry: Snapshot | None = None
    measured: Measured | None = None


def spec_to_line(spec: WorkerSpec) -> str:
    """Encode the specification as one line."""
    return json.dumps(asdict(spec)) + "\n"


def spec_from_line(line: str) -> WorkerSpec:
    """Decode the specification from a line."""
    data = json.loads(line)
    engine = EngineConfig.from_json(data.pop("engine"))
    measured = _measured(data.pop("measured"))
    return WorkerSpec(engine=engine, measured=measured, **data)


def drain_to_line(command: Drain) -> str:
    """Encode a drain as one line."""
    return json.dumps({"drain": asdict(command)}) + "\n"


def drain_from_line(line: str | bytes) -> Drain | None:
    """Decode the drain of a line; None if the line is not a drain."""
    try:
        return Drain(**json.loads(line)["drain"])
    except (KeyError, TypeError, ValueError):
        return None


def report_to_line(report: WorkerReport) -> str:
    """Encode a report as one line."""
    return json.dumps(plain(report)) + "\n"


def plain(report: WorkerReport) -> dict[str, Any]:
    """Return a report's members as plain data.

    The telemetry is plain data already, and too large to copy every second.
    """
    small = asdict(replace(report, telemetry=None))
    return small | {"telemetry": report.telemetry}


def report_from_line(line: str | bytes) -> WorkerReport | None:
    """Decode the report of a line; None if the line is not a report."""
    try:
        data: Any = json.loads(line)
        return WorkerReport(**data | {"measured": _measured(data.get("measured"))})
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _measured(data: Any) -> Measured | None:
    return None if data is None else Measured.from_json(data)
