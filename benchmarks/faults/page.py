"""The table of faults in a page: rows are renewed one by one, in a fixed order."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.faults.trial import MAX_TOKENS, STREAMS

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.faults.trial import Result

_ROW = re.compile(r"^\| (?P<fault>[^|]+?) \|.*\d.*$", re.MULTILINE)
_REASON = re.compile(r"^\* (?P<fault>[^:]+): .*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PageTable:
    """A table in a page, between two lines with its name; ``columns`` follow the fault.

    ``what`` is what ran under the faults.
    """

    name: str
    columns: tuple[str, ...]
    what: str

    @property
    def begin(self) -> str:
        """The line before it."""
        return f"<!-- {self.name}: begin -->"

    @property
    def end(self) -> str:
        """The line after it."""
        return f"<!-- {self.name}: end -->"

    def put(
        self,
        page: Path,
        row: str,
        reasons: Counter[str],
        order: Sequence[str],
    ) -> None:
        """Write a row into a page, in the place of the row of the same fault.

        Rows come in this order of faults; those of faults that are not in it are
        dropped. ``reasons`` are the sentences that clients had.
        """
        text = page.read_text(encoding="utf-8")
        head, _, rest = text.partition(self.begin)
        old, _, tail = rest.partition(self.end)
        rows = {found["fault"]: found[0] for found in _ROW.finditer(old)}
        said = {found["fault"]: found[0] for found in _REASON.finditer(old)}
        (fault,) = [found["fault"] for found in _ROW.finditer(row)]
        rows[fault] = row
        said.pop(fault, None)
        if reasons:
            said[fault] = f"* {fault}: {' '.join(sorted(reasons))}"
        table = self._text(
            [rows[fault] for fault in order if fault in rows],
            [said[fault] for fault in order if fault in said],
        )
        page.write_text(f"{head}{self.begin}\n{table}\n{self.end}{tail}", "utf-8")

    def _text(self, rows: list[str], reasons: list[str]) -> str:
        titles = " | ".join(("fault", *self.columns))
        lines = [
            f"{self.what} on {os.cpu_count()} cores ({platform.machine()}), the sample "
            "model:",
            "",
            f"| {titles} |",
            f"|---|{'--:|' * len(self.columns)}",
            *rows,
        ]
        if reasons:
            lines += ["", "What the refused were answered:", "", *reasons]
        return "\n".join(lines)


FAULTS = PageTable(
    "faults",
    (
        "right",
        "wrong",
        "refused",
        "cut",
        "hung",
        "next answer after",
        "other programs",
    ),
    f"{STREAMS} greedy streams of {MAX_TOKENS} tokens",
)


def row(result: Result) -> str:
    """Return a result as a row of the table."""
    next_s = "none" if result.next_s is None else f"{result.next_s:.1f} s"
    counts = (result.right, result.wrong, result.refused, result.cut, result.hung)
    others = f"{result.other_cores:.1f} cores"
    cells = (result.fault, *map(str, counts), next_s, others)
    return f"| {' | '.join(cells)} |"
