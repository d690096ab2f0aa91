from __future__ import annotations

from llm_manager.lib.clocks.growing_pause import GrowingPause


def test_a_pause_grows_while_nothing_is_found_and_no_further_than_said() -> None:
    pause = GrowingPause(2, 10)
    seen = []
    for _ in range(6):
        seen.append(pause.seconds)
        pause.after(found=False)
    assert seen == [2, 3, 4.5, 6.75, 10, 10]


def test_a_pause_is_short_again_once_something_is_found() -> None:
    pause = GrowingPause(2, 10)
    pause.after(found=False)
    pause.after(found=True)
    assert pause.seconds == 2
