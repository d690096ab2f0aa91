"""What one run of the harness found, as data and as JSON."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.systems.system import openmp_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.model import Conditions
    from benchmarks.reporting.figures import Measurement, Summary


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that one run of the harness found."""

    conditions: Conditions
    rounds: int
    #: The system that ratios are to, if it was there.
    baseline: str | None
    #: By system: how to get it.
    left_out: dict[str, str]
    #: By system: what it takes of a core while it has nothing to do.
    idle_cpu: dict[str, float]
    measurements: Sequence[Measurement]
    summaries: Sequence[Summary]
    failures: Sequence[str]


def write_json(report: Report, file: Path) -> None:
    """Write the report."""
    file.write_text(json.dumps(as_json(report), indent=2) + "\n", encoding="utf-8")


def print_json(report: Report) -> None:
    """Print the report."""
    print(json.dumps(as_json(report), indent=2))


def as_json(report: Report) -> dict[str, Any]:
    """Return the report as plain data, with what machine and programs it is about."""
    document = asdict(report)
    document["conditions"]["model"] = report.conditions.model.name
    document["machine"] = {
        "processor": processor(),
        "python": platform.python_version(),
        "llama_cpp_python": version("llama-cpp-python"),
        "environment": openmp_environment(),
    }
    return document


def processor() -> str:
    """Return the name of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.processor()
