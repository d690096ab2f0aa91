"""Long and hostile texts take time in proportion to their length."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from inference.output_parsers.families import OUTPUT_PARSERS
from tests.growth import LESS, is_in_proportion
from tests.inference.output_parsers.answers import TOOLS, answer_of, deltas_of

if TYPE_CHECKING:
    from collections.abc import Callable

# They measure processor time, which tracing takes several times as much of.
pytestmark = pytest.mark.no_cover

SIZE = 100_000
#: Each of these may begin a call, so they take a hundred times as long as other texts.
SIZES = {"\n[{": SIZE // 4}


def _is_in_proportion(
    family: str, pieces_of: Callable[[int], list[str]], longest: int = SIZE
) -> bool:
    # The shorter texts are made before the time is taken.
    pieces = {size: pieces_of(size) for size in (longest, longest // LESS)}
    return is_in_proportion(lambda size: deltas_of(family, pieces[size]), longest)


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
        assert _is_in_proportion(family, pieces_of, SIZES.get(unit, SIZE))


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
