"""What an installation takes at rest, beside a process that only wakes up as often."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.commands.idle import Idle, _bare, _show

if TYPE_CHECKING:
    import pytest


async def test_the_comparison_wakes_up_and_takes_some_time() -> None:
    bare = await _bare(50, 0.5)
    assert 0 < bare.wakeups <= 60
    assert bare.total > 0


def test_the_table_has_the_comparison_as_its_last_row(
    capsys: pytest.CaptureFixture[str],
) -> None:
    idle = Idle({"engine": 0.01, "web": 0.02}, {"publish": 0.5}, 7.0)
    _show({"no model": idle}, Idle({"": 0.004}, {}, 7.0))
    *_, first, last, _ = capsys.readouterr().out.strip().splitlines()
    assert first.replace("│", "").split()[:5] == ["no", "model", "1.00", "2.00", "3.00"]
    assert last.replace("│", "").split()[-2:] == ["0.40", "7.0"]
