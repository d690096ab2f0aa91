"""The lines between an engine and its workers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from inference.engine.config.engine_config import EngineConfig
from inference.engine.scheduling.pacing.measured import Measured
from inference.engine.telemetry import Telemetry
from inference.worker.node_pipe import (
    WorkerReport,
    WorkerSpec,
    report_from_line,
    report_to_line,
    spec_from_line,
    spec_to_line,
)

MEASURED = Measured(
    decodes=((1, 0.01), (16, 0.03)), pieces=((16, 3, 0.02),), prefills_apart=True
)


def test_a_specification_comes_back_as_it_was() -> None:
    engine = EngineConfig(paths=("/m/a.gguf", "/m/b.gguf"), n_ctx=512, n_seq_max=4)
    spec = WorkerSpec(
        "queue.1", "life", "tiny", max_waiting=7, engine=engine, measured=MEASURED
    )
    line = spec_to_line(spec)
    assert line.count("\n") == 1
    assert spec_from_line(line) == spec
    new = replace(spec, measured=None)
    assert spec_from_line(spec_to_line(new)) == new


def test_a_report_comes_back_with_what_was_measured() -> None:
    telemetry = Telemetry(n_ctx=512)
    telemetry.token_gap(0.25)
    report = WorkerReport(
        "ready", running=3, telemetry=telemetry.snapshot(), measured=MEASURED
    )
    line = report_to_line(report)
    assert line.count("\n") == 1
    back = report_from_line(line.encode())
    assert back is not None
    assert (back.state, back.running) == ("ready", 3)
    assert back.telemetry == telemetry.snapshot()
    assert back.measured == MEASURED


@pytest.mark.parametrize("line", ["", "llama.cpp says hello", "[1]", '{"x": 1}', "{}"])
def test_a_line_that_is_no_report_is_ignored(line: str) -> None:
    assert report_from_line(line) is None
