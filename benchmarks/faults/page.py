"""The table of faults in a page: rows are renewed one by one, in a fixed order."""

from __future__ import annotations

import os
import platform
import re
from typing import TYPE_CHECKING

from benchmarks.faults.trial import MAX_TOKENS, STREAMS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.faults.trial import Result

#: The table in the page is between these lines.
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
_HEAD = (
    "| fault | right | wrong | refused | cut | hung | next answer after "
    "| other programs |",
    "|---|--:|--:|--:|--:|--:|--:|--:|",
)
_ROW = re.compile(r"^\| (?P<fault>[^|]+?) \|.*\d.*$", re.MULTILINE)
_REASON = re.compile(r"^\* (?P<fault>[^:]+): .*$", re.MULTILINE)


def row(result: Result) -> str:
    """Return a result as a row of the table."""
    next_s = "none" if result.next_s is None else f"{result.next_s:.1f} s"
    counts = (result.right, result.wrong, result.refused, result.cut, result.hung)
    others = f"{result.other_cores:.1f} cores"
    cells = (result.fault, *map(str, counts), next_s, others)
    return f"| {' | '.join(cells)} |"


def put_result(page: Path, result: Result, order: Sequence[str]) -> None:
    """Write a result into a page, in the place of the row of the same fault.

    Rows come in this order of faults; those of faults that are not in it are dropped.
    """
    text = page.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    old, _, tail = rest.partition(END)
    rows = {found["fault"]: found[0] for found in _ROW.finditer(old)}
    reasons = {found["fault"]: found[0] for found in _REASON.finditer(old)}
    rows[result.fault] = row(result)
    reasons.pop(result.fault, None)
    if result.reasons:
        said = " ".join(sorted(result.reasons))
        reasons[result.fault] = f"* {result.fault}: {said}"
    table = _table(
        [rows[fault] for fault in order if fault in rows],
        [reasons[fault] for fault in order if fault in reasons],
    )
    page.write_text(f"{head}{BEGIN}\n{table}\n{END}{tail}", encoding="utf-8")


def _table(rows: list[str], reasons: list[str]) -> str:
    lines = [
        f"{STREAMS} greedy streams of {MAX_TOKENS} tokens on {os.cpu_count()} cores "
        f"({platform.machine()}), the sample model:",
        *("", *_HEAD, *rows),
    ]
    if reasons:
        lines += ["", "What the refused were answered:", "", *reasons]
    return "\n".join(lines)
