"""manage.py scan_models: find GGUF models and register them."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from registry.scan.scanner import ScanOutcome
from registry.services import configured_roots, model_scan

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator

    from registry.scan.scanner import Progress as OnProgress
    from registry.scan.scanner import ScanEntry, ScanReport

_COLOURS = {
    ScanOutcome.NEW: "green",
    ScanOutcome.CHANGED: "cyan",
    ScanOutcome.MISSING: "yellow",
    ScanOutcome.UNREADABLE: "red",
}


class Command(BaseCommand):
    help = (
        "Find GGUF models and register them. Files and folders whose names begin with "
        "a dot are skipped. The exit status is 1 if a path does not exist; unreadable "
        "files are in the report and leave it at 0."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "paths",
            nargs="*",
            type=Path,
            metavar="PATH",
            help="Folders or files. Default: models.dir and models.extra_dirs.",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="Only report; write nothing."
        )
        parser.add_argument(
            "--json", action="store_true", help="Print the report as JSON."
        )
        parser.add_argument(
            "--prune",
            action="store_true",
            help="Delete models whose file is missing, including their settings.",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        roots = options["paths"] or configured_roots()
        _check_roots(roots, are_given=bool(options["paths"]))
        with _progress(is_shown=not options["json"]) as on_progress:
            report = model_scan(
                roots=roots,
                dry_run=options["dry_run"],
                prune=options["prune"],
                progress=on_progress,
            )
        if options["json"]:
            self.stdout.write(json.dumps(report.as_json(), indent=2))
        else:
            colour = self.stdout.isatty() or options["force_color"]
            self._print(report, has_colour=colour and not options["no_color"])

    def _print(self, report: ScanReport, *, has_colour: bool) -> None:
        is_terminal = self.stdout.isatty()
        console = Console(
            force_terminal=has_colour,
            color_system="auto" if has_colour else None,
            # Lines are not wrapped in a file or a pipe.
            width=None if is_terminal else 10_000,
        )
        with console.capture() as capture:
            if report.entries:
                console.print(_table(report))
            console.print(_totals(report), soft_wrap=True)
        text = capture.get()
        if not is_terminal:
            text = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
        self.stdout.write(text, ending="")


def _check_roots(roots: list[Path], *, are_given: bool) -> None:
    missing = [root for root in roots if not _exists(root)]
    if missing and are_given:
        raise CommandError(f"{missing[0]} does not exist.")
    if len(missing) == len(roots):
        raise CommandError(
            f"The models directory {missing[0]} does not exist. Create it, or set "
            "models.dir in llm_manager.yaml."
        )


def _exists(root: Path) -> bool:
    try:
        root.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        pass  # The report has the reason.
    return True


@contextlib.contextmanager
def _progress(*, is_shown: bool) -> Iterator[OnProgress | None]:
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
            name = escape(_printable(Path(path).name))
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
            Text(_printable(entry.name or _relative(entry, report.roots))),
            Text(_printable(_remark(entry, report.roots))),
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
        notes[0] = f"No GGUF files in {', '.join(map(_printable, report.roots))}"
    return Text("; ".join(notes) + ".")


def _printable(text: str) -> str:
    """Return text without control characters: file names may contain any."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )
