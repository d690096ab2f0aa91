"""Long and hostile texts take time in proportion to their length."""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING

import pytest

from inference.output_parsers.families import OUTPUT_PARSERS
from tests.inference.output_parsers.answers import TOOLS, answer_of, deltas_of

if TYPE_CHECKING:
    from collections.abc import Callable

# They measure processor time, which tracing takes several times as much of.
pytestmark = pytest.mark.no_cover

SIZE = 100_000
# Four times the length takes four times as long; were the time to grow with the square
# of the length, it would take sixteen times. No limit in seconds holds everywhere.
LESS = 4
GROWTH = 8.0
# A shorter time is measured too coarsely for a ratio.
NOISE_S = 0.2


def _seconds(family: str, pieces: list[str]) -> float:
    # A collection takes as long as the whole process has objects.
    gc.disable()
    try:
        start = time.process_time()
        deltas_of(family, pieces)
        return time.process_time() - start
    finally:
        gc.enable()


def _is_in_proportion(family: str, pieces_of: Callable[[int], list[str]]) -> bool:
    """Compare the time for a text of ``SIZE`` characters with that of a shorter one."""
    if (whole := _seconds(family, pieces_of(SIZE))) < NOISE_S:
        return True
    return whole < GROWTH * _seconds(family, pieces_of(SIZE // LESS))


@pytest.mark.parametrize(
    ("begin", "unit"),
    [
        ("", "<"),
        ("", "{"),
        ("", "["),
        ("", '"'),
        ("", "\n"),
        ("", "\\"),
        ("", "\n{"),
        ("", "<tool_call>"),
        ("", "<function="),
        ("", "<|channel|>"),
        ("", "to=x "),
        ("", '{"arguments": '),
        ("", '<tool_call>{"arguments": '),
        ("<think>", "</thin"),
        ("<think>", "\n"),
        ("<think>", "<tool_call>"),
        ("<think>", "\n[{"),
        ("<think>", '<tool_call>{"id": "'),
        ("<think>", '<tool_call>{"name": "now"}'),
    ],
)
def test_repetition_costs_no_more_than_text(begin: str, unit: str) -> None:
    def pieces_of(size: int) -> list[str]:
        return [begin + unit * (size // len(unit))]

    for family in OUTPUT_PARSERS:
        assert _is_in_proportion(family, pieces_of)


@pytest.mark.parametrize("family", OUTPUT_PARSERS)
def test_long_arguments_in_short_pieces(family: str) -> None:
    def pieces_of(size: int) -> list[str]:
        code = 'print("<tool_call>")\n\t# é\n' * (size // 27)
        text = OUTPUT_PARSERS[family].framing.write([("python", {"code": code})])
        return [text[at : at + 4] for at in range(0, len(text), 4)]

    assert _is_in_proportion(family, pieces_of)


def test_depth_does_not_end_in_a_recursion() -> None:
    text = '<tool_call>{"name": "now", "arguments": {"a": ' + "[" * SIZE
    answer = answer_of(deltas_of("hermes", [text]))
    assert answer.calls == [("now", '{"a": ' + "[" * SIZE)]


def test_a_lone_surrogate_passes() -> None:
    text = 'a\ud800b<tool_call>{"name": "get", "arguments": {"url": "\ud800"}}'
    assert answer_of(deltas_of("hermes", [text], tools=TOOLS)).content == "a\ud800b"


def test_a_sum_without_end_is_a_text() -> None:
    total = "1+" * SIZE + "1"
    text = f"<|tool_call_start|>[save(rating={total})]<|tool_call_end|>"
    answer = answer_of(deltas_of("lfm2", [text]))
    assert answer.calls == [("save", f'{{"rating": "{total}"}}')]
