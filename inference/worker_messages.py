"""What engine and worker say to each other over the worker's pipes, as JSON lines.

The worker's standard input carries its specification, then commands; its end
means that the engine is gone. Its standard output carries reports.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from inference.engine.config import EngineConfig

DRAIN = "drain"


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What a worker serves: which queue, as whom, and how to load the model."""

    queue: str
    incarnation: str
    model_name: str
    engine: EngineConfig


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """A worker's state and numbers.

    ``state`` is ``loading``, ``ready``, ``draining`` or ``failed``; ``progress``
    of loading goes from 0 to 1; the rest are counts.
    """

    state: str
    progress: float = 0.0
    error: str = ""
    n_ctx: int = 0
    n_seq_max: int = 0
    running: int = 0
    waiting: int = 0
    kv_cells_used: int = 0
    kv_cells_total: int = 0
    requests_total: int = 0
    prompt_tokens_total: int = 0
    output_tokens_total: int = 0


def spec_to_line(spec: WorkerSpec) -> str:
    """Return the specification as one line."""
    return json.dumps(asdict(spec)) + "\n"


def spec_from_line(line: str) -> WorkerSpec:
    """Return the specification of a line."""
    data = json.loads(line)
    engine = data.pop("engine")
    engine["paths"] = tuple(engine["paths"])
    return WorkerSpec(engine=EngineConfig(**engine), **data)


def report_to_line(report: WorkerReport) -> str:
    """Return a report as one line."""
    return json.dumps(asdict(report)) + "\n"


def report_from_line(line: str | bytes) -> WorkerReport | None:
    """Return the report of a line, or None if the line is none."""
    try:
        data: Any = json.loads(line)
        return WorkerReport(**data)
    except (TypeError, ValueError):
        return None
