"""Prints the report of a scan, and how far it is."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from llm_manager.lib.quoting import printable
from registry.scan.scanner import ScanOutcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.scan.scanner import Progress as OnProgress
    from registry.scan.scanner import ScanEntry, ScanReport

_COLOURS = {
    ScanOutcome.NEW: "green",
    ScanOutcome.CHANGED: "cyan",
    ScanOutcome.MISSING: "yellow",
    ScanOutcome.UNREADABLE: "red",
}


def print_scan(report: ScanReport, console: Console) -> None:
    """Print each model that changed, and the counts."""
    if report.entries:
        console.print(_table(report))
    console.print(_totals(report), soft_wrap=True)


@contextlib.contextmanager
def scan_progress(*, is_shown: bool) -> Iterator[OnProgress | None]:
    """Yield a function that updates a progress bar; None without a terminal."""
    if not is_shown or not sys.stderr.isatty():
        yield None
        return
    columns = (
        TextColumn("Scanning"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(done: int, total: int, path: str) -> None:
            name = escape(printable(Path(path).name))
            bar.update(task, completed=done, total=total, description=name)

        yield show


def _table(report: ScanReport) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("Model", overflow="fold", ratio=2)
    table.add_column("Details", overflow="fold", ratio=3)
    for entry in report.entries:
        table.add_row(
            Text(entry.outcome, style=_COLOURS[entry.outcome]),
            Text(printable(entry.name or _relative(entry, report.roots))),
            Text(printable(_remark(entry, report.roots))),
        )
    return table


def _remark(entry: ScanEntry, roots: tuple[str, ...]) -> str:
    if entry.outcome is ScanOutcome.MISSING:
        parts = (_relative(entry, roots), entry.reason)
    else:
        parts = (entry.summary, entry.reason)
    return "; ".join(filter(None, parts))


def _relative(entry: ScanEntry, roots: tuple[str, ...]) -> str:
    """Return the path relative to its root, which is shorter."""
    for root in roots:
        if Path(entry.path).is_relative_to(root) and entry.path != root:
            return str(Path(entry.path).relative_to(root))
    return entry.path


def _totals(report: ScanReport) -> Text:
    counts = ", ".join(f"{count} {name}" for name, count in report.counts().items())
    notes = [counts, f"{report.duration_s:.2f} s"]
    if report.pruned:
        verb = "to delete" if report.is_dry_run else "deleted"
        notes.insert(1, f"{report.pruned} {verb}")
    if report.is_dry_run:
        notes.append("dry run: nothing was written")
    if not any(report.counts().values()):
        notes[0] = f"No GGUF files in {', '.join(map(printable, report.roots))}"
    return Text("; ".join(notes) + ".")
