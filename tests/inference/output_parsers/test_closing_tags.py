"""Models close a tag twice, or leave it open: neither gets into an argument."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from inference.output_parsers.families import OUTPUT_PARSERS
from tests.inference.output_parsers.answers import Answer, parse

CALLS: list[tuple[str, dict[str, Any]]] = [
    ("get_weather", {"city": "notes/a.txt", "days": 3}),
    ("get", {"url": "a"}),
]
# MiniMax M3 writes a mark before each tag.
_TAG = re.compile(r"<\|close\|>\w+<\|sep\|>|(?:]<]minimax\[>\[)?<[^<>]+>")


def _closing_tags() -> list[tuple[str, str]]:
    tags = []
    for name, parser in OUTPUT_PARSERS.items():
        framing = parser.framing
        after = framing.call.after + framing.end
        if framing.parameter is not None:
            after += framing.parameter.closing("city")
        tags += [(name, tag) for tag in dict.fromkeys(_TAG.findall(after))]
    return tags


@pytest.mark.parametrize("between", ["", "\n"])
@pytest.mark.parametrize(("family", "tag"), _closing_tags())
def test_a_tag_that_is_closed_twice_is_closed(
    family: str, tag: str, between: str
) -> None:
    framing = OUTPUT_PARSERS[family].framing
    calls = CALLS if framing.separator is not None else CALLS[:1]
    text = framing.write(calls).replace(tag, tag + between + tag)
    answer = parse(family, text)
    assert [(name, json.loads(text)) for name, text in answer.calls] == calls
    assert answer.content == ""


def test_a_parameter_that_is_closed_three_times_is_closed() -> None:
    text = (
        "<tool_call>\n<function=get>\n<parameter=url>\na\n</parameter>\n</parameter>"
        "</parameter>\n</function>\n</tool_call>\nDone."
    )
    answer = parse("qwen3_coder", text)
    assert answer == Answer("Done.", calls=[("get", '{"url": "a"}')])


def test_a_closing_tag_within_a_value_belongs_to_it() -> None:
    text = (
        "<tool_call>\n<function=get>\n<parameter=url>\n</parameter></parameter> b\n"
        "</parameter>\n</function>\n</tool_call>"
    )
    answer = parse("qwen3_coder", text)
    url = {"url": "</parameter></parameter> b"}
    assert [(name, json.loads(text)) for name, text in answer.calls] == [("get", url)]
