"""The report as tables for people."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from benchmarks.reporting.report import processor
from benchmarks.systems.system import openmp_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.reporting.figures import Summary
    from benchmarks.reporting.report import Report

#: Where the output is no terminal, room for every column.
_WIDTH = 160
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Column:
    """A figure of the first table: its heading, its unit's factor, its format."""

    heading: str
    figure: str
    factor: float = 1
    form: str = ".0f"
    is_ratio: bool = False


#: What every workload has.
COLUMNS = (
    Column("tok/s", "tokens_per_s", form=".1f"),
    Column("x base", "tokens_per_s", form=".2f", is_ratio=True),
    Column("TTFT p50\nms", "ttft_p50_s", 1000),
    Column("x base", "ttft_p50_s", form=".2f", is_ratio=True),
    Column("TTFT p95\nms", "ttft_p95_s", 1000),
    Column("ITL p50\nms", "itl_p50_s", 1000, ".1f"),
    Column("ITL p95\nms", "itl_p95_s", 1000, ".1f"),
    Column("prompt\ntok/s", "prompt_tokens_per_s"),
    Column("cached", "cached_share", form=".0%"),
    Column("CPU\nms/tok", "cpu_per_token_s", 1000, ".1f"),
    Column("web+redis\nms/tok", "carrier_cpu_per_token_s", 1000, ".2f"),
    Column("peak\nMiB", "peak_rss_bytes", 1 / _MIB),
)
#: Figures without a column that are no result of their own.
_ONLY_IN_JSON = ("wall_s", "tokens", "prompt_tokens")


def print_tables(report: Report) -> None:
    """Print the tables."""
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    console.print(_load_table(report))
    for table in (_special_table(report), _cpu_table(report)):
        if table.row_count:
            console.print(table)
    for line in _notes(report):
        console.print(line, highlight=False)


def _load_table(report: Report) -> Table:
    conditions = report.conditions
    title = (
        f"{conditions.model.name}, {conditions.n_threads} threads, "
        f"{conditions.n_seq_max} sequences of {conditions.n_ctx} tokens; "
        f"rounds: {report.rounds}, medians"
    )
    if report.baseline:
        title += f"; x base: to {report.baseline} in the same round"
    table = Table(title=title)
    table.add_column("workload", no_wrap=True)
    table.add_column("system", no_wrap=True)
    columns = [c for c in COLUMNS if report.baseline or not c.is_ratio]
    for column in columns:
        table.add_column(column.heading, justify="right")
    for summary, is_last in _by_workload(report.summaries):
        table.add_row(
            summary.workload,
            summary.system,
            *(_cell(summary, column) for column in columns),
            end_section=is_last,
        )
    return table


def _special_table(report: Report) -> Table:
    """Return the figures that only some workloads have."""
    table = Table(title="By workload")
    table.add_column("workload", no_wrap=True)
    table.add_column("figure", no_wrap=True)
    systems = list(dict.fromkeys(summary.system for summary in report.summaries))
    compared = [s for s in systems if report.baseline not in (None, s)]
    for system in systems:
        table.add_column(system, justify="right")
        if system in compared:
            table.add_column("x base", justify="right")
    cells = {(s.workload, s.system): s for s in report.summaries}
    for workload in dict.fromkeys(summary.workload for summary in report.summaries):
        here = {system: cells.get((workload, system)) for system in systems}
        names = dict.fromkeys(
            name for summary in here.values() if summary for name in special(summary)
        )
        for name in names:
            row = []
            for system, summary in here.items():
                row.append(_special_cell(summary, name))
                if system in compared:
                    ratio = summary.ratios.get(name) if summary else None
                    row.append("-" if ratio is None else format(ratio, ".2f"))
            table.add_row(workload, _title(name), *row)
        table.add_section()
    return table


def _cpu_table(report: Report) -> Table:
    table = Table(title="CPU seconds by process")
    table.add_column("workload", no_wrap=True)
    table.add_column("system", no_wrap=True)
    roles = dict.fromkeys(
        name for s in report.summaries for name in s.medians if _is_cpu(name)
    )
    for role in roles:
        heading = role.removeprefix("cpu_").removesuffix("_s")
        table.add_column(heading, justify="right")
    for summary, is_last in _by_workload(report.summaries):
        table.add_row(
            summary.workload,
            summary.system,
            *(
                format(summary.medians[role], ".2f") if role in summary.medians else ""
                for role in roles
            ),
            end_section=is_last,
        )
    return table


def special(summary: Summary) -> list[str]:
    """Return the names of the figures that belong to this kind of workload alone."""
    common = {column.figure for column in COLUMNS} | set(_ONLY_IN_JSON)
    return [
        name for name in summary.medians if name not in common and not _is_cpu(name)
    ]


def _is_cpu(name: str) -> bool:
    return name.startswith("cpu_") and name != "cpu_per_token_s"


def _notes(report: Report) -> list[str]:
    idle = ", ".join(f"{name} {share:.1%}" for name, share in report.idle_cpu.items())
    openmp = " ".join(f"{name}={value}" for name, value in openmp_environment().items())
    return [
        f"Processor: {processor()}.",
        *([f"All systems run with {openmp}."] if openmp else []),
        f"Of one core, while nothing had work: {idle}.",
        *(f"{name} was left out: {how}." for name, how in report.left_out.items()),
    ]


def _by_workload(summaries: Sequence[Summary]) -> list[tuple[Summary, bool]]:
    """Return the summaries by workload, each with whether it is its workload's last."""
    order = list(dict.fromkeys(summary.workload for summary in summaries))
    ordered = sorted(summaries, key=lambda summary: order.index(summary.workload))
    following = [*ordered[1:], None]
    return [
        (summary, after is None or after.workload != summary.workload)
        for summary, after in zip(ordered, following, strict=True)
    ]


def _cell(summary: Summary, column: Column) -> str:
    figures = summary.ratios if column.is_ratio else summary.medians
    if column.figure not in figures:
        return "-"
    return format(figures[column.figure] * column.factor, column.form)


def _special_cell(summary: Summary | None, name: str) -> str:
    if summary is None:
        return "n/a"
    value = summary.medians.get(name)
    if value is None:
        return "-"
    if name.endswith("_s"):
        return format(value * 1000, ".0f")
    return format(value, ".0f" if name.endswith("_tokens") else ".2f")


def _title(name: str) -> str:
    words = name.removesuffix("_s").replace("_", " ")
    return f"{words} ms" if name.endswith("_s") else words
