"""Tables and JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.model import Conditions
from benchmarks.reporting.figures import Measurement, summarize
from benchmarks.reporting.report import Report, print_json
from benchmarks.reporting.tables import print_tables, special

if TYPE_CHECKING:
    import pytest


def make_report() -> Report:
    measurements = [
        Measurement(
            number,
            workload,
            system,
            {
                "tokens": 96.0,
                "wall_s": 1.0,
                "tokens_per_s": rate,
                "ttft_p50_s": 0.25,
                "cpu_web_s": 0.5,
                **({"few_slowdown": 2.5} if workload == "two-keys" else {}),
            },
        )
        for number in range(2)
        for workload, system, rate in (
            ("decode-1", "ours", 90.0),
            ("decode-1", "llama-server", 100.0),
            ("decode-1", "example", 50.0),
            ("two-keys", "ours", 120.0),
            ("two-keys", "llama-server", 80.0),
        )
    ]
    return Report(
        conditions=Conditions(model=Path("/somewhere/model.gguf"), n_threads=2),
        rounds=2,
        baseline="llama-server",
        left_out={"stock": "make bench-peers builds it"},
        idle_cpu={"ours": 0.01},
        measurements=measurements,
        summaries=summarize(measurements, "llama-server"),
        failures=[],
    )


def printed(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    """Return the cells of all rows of all tables."""
    lines = capsys.readouterr().out.splitlines()
    return [
        [cell.strip() for cell in line.strip("│┃").replace("┃", "│").split("│")]
        for line in lines
    ]


def test_load_table_has_rates_and_ratios(capsys: pytest.CaptureFixture[str]) -> None:
    print_tables(make_report())
    rows = printed(capsys)
    assert ["decode-1", "ours", "90.0", "0.90", "250", "1.00"] in [r[:6] for r in rows]
    assert ["decode-1", "llama-server", "100.0", "1.00"] in [r[:4] for r in rows]


def test_special_figures_have_a_row_and_na_where_a_system_cannot(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_tables(make_report())
    cells = ["two-keys", "few slowdown", "2.50", "1.00", "2.50", "n/a", "-"]
    assert cells in printed(capsys)


def test_systems_left_out_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    print_tables(make_report())
    out = capsys.readouterr().out
    assert "stock was left out: make bench-peers builds it." in out
    assert "ours 1.0%" in out


def test_special_leaves_out_what_other_columns_show() -> None:
    *_, ours, _ = make_report().summaries
    assert special(ours) == ["few_slowdown"]


def test_json_has_every_measurement_and_no_path(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_json(make_report())
    out = capsys.readouterr().out
    document = json.loads(out)
    assert len(document["measurements"]) == 10
    assert document["summaries"][0]["ratios"]["tokens_per_s"] == 0.9
    assert document["conditions"]["model"] == "model.gguf"
    assert "/somewhere" not in out
