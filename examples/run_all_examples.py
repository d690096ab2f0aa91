"""Run all examples, one after the other, and report how each of them did.

The exit status is 1 if one failed. An example that lacks a model or a package is
skipped. `--json` prints the report as JSON; `--only 01 05` runs some of them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from common import SKIPPED, server
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
#: An example that takes longer hangs.
LIMIT_S = 600
#: The examples have these; any other package may be missing.
OURS = {"accounts", "common", "inference", "llm_manager", "registry"}
COLOURS = {"passed": "green", "skipped": "yellow", "failed": "red"}


@dataclass(frozen=True)
class Outcome:
    """How an example ended; ``said`` is the last line that it printed."""

    example: str
    result: str
    seconds: float
    said: str


def run(script: Path, environment: dict[str, str]) -> Outcome:
    """Run one example."""
    started = time.perf_counter()
    try:
        done = subprocess.run(
            [sys.executable, str(script)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        status, output = done.returncode, done.stdout + done.stderr
    except subprocess.TimeoutExpired:
        status, output = 1, f"It was stopped after {LIMIT_S} s."
    seconds = round(time.perf_counter() - started, 2)
    lines = [line.strip() for line in output.splitlines() if line.strip()] or [""]
    lacks = _package_that_is_not_there(lines) if status else None
    result = "passed" if status == 0 else "failed"
    if status == SKIPPED or lacks:
        result = "skipped"
    return Outcome(script.name, result, seconds, lacks or lines[-1])


def _package_that_is_not_there(lines: list[str]) -> str | None:
    """Return the line that says so; for a module of our own it is a failure."""
    for line in lines:
        if found := re.match(r"ModuleNotFoundError: No module named '(\w+)", line):
            return None if found[1] in OURS else line
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--only", nargs="+", metavar="NN", help="numbers of examples")
    parser.add_argument("--folder", type=Path, default=HERE, help=argparse.SUPPRESS)
    options = parser.parse_args()
    console = Console(stderr=options.json)
    scripts = [
        script
        for script in sorted(options.folder.glob("[0-9][0-9]_*.py"))
        if not options.only or script.name[:2] in options.only
    ]
    outcomes = []
    with server() as (base_url, api_key):
        environment = {
            **os.environ,
            "OPENAI_BASE_URL": base_url,
            "OPENAI_API_KEY": api_key,
        }
        for script in scripts:
            console.print(f"{script.name} …", style="dim")
            outcomes.append(run(script, environment))
    if options.json:
        print(json.dumps([asdict(outcome) for outcome in outcomes], indent=2))
    else:
        table = Table("Example", "Result", "Seconds", "Last line")
        for each in outcomes:
            style = COLOURS[each.result]
            table.add_row(
                each.example,
                f"[{style}]{each.result}",
                f"{each.seconds:.1f}",
                each.said,
            )
        console.print(table)
    return int(any(outcome.result == "failed" for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
