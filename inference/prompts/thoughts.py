"""Which marks stand around a model's thoughts, found in its chat template.

Most families have marks of their own. A template with other marks shows them in one of
two ways: around the reasoning of an earlier answer, or in its source, where it cuts
earlier thoughts out of answers or tells the model how to write them. llama.cpp finds
them in the same way: ``analyze_reasoning`` in common/chat-diff-analyzer.cpp.
"""

from __future__ import annotations

import functools
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from inference.output_parsers.reasoning import ReasoningTags
from inference.prompts.abilities import THOUGHT

if TYPE_CHECKING:
    from inference.output_parsers import OutputParser
    from inference.prompts.template import ChatTemplate

_MARK = r"(<[^<>\s]{1,40}>|\[[^\[\]\s]{1,40}\]|◁[^◁▷\s]{1,40}▷)"
_BEFORE = re.compile(_MARK + r"\s*$")
_AFTER = re.compile(r"\s*" + _MARK)
_NAME = r"(?:\w+[_:])?(?:think|thinking|thoughts?|reason|reasoning|rationale)(?::\w+)?"
_CLOSING = re.compile(rf"(<\|?|\[|◁)/({_NAME})(\|?>|\]|▷)", re.IGNORECASE)
#: Marks that have no common form: of Sky-T1 and its like, openPangu and MedGemma.
_ODD = (
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("[unused16]", "[unused17]"),
    ("<unused94>", "<unused95>"),
)


def reasons(template: ChatTemplate, output_parser: OutputParser) -> bool:
    """Return whether the template shows the marks of reasoning."""
    reasoning = output_parser.reasoning
    marks = (*reasoning.begin, *reasoning.end)
    return template.mentions(marks) or any(
        mark in template.shown_thought for mark in marks
    )


@functools.lru_cache(maxsize=64)
def with_marks_of(template: ChatTemplate, output_parser: OutputParser) -> OutputParser:
    """Return the output parser with the marks of reasoning that the template shows."""
    if reasons(template, output_parser):
        return output_parser
    pair = _around_the_thought(template) or _in_the_source(template)
    if pair is None:
        return output_parser
    preserved = dict.fromkeys((*output_parser.preserved_tokens, *pair))
    begin, end = pair
    return replace(
        output_parser,
        reasoning=ReasoningTags((begin,), (end,)),
        preserved_tokens=tuple(preserved),
    )


def _around_the_thought(template: ChatTemplate) -> tuple[str, str] | None:
    before, is_shown, after = template.shown_thought.partition(THOUGHT)
    begin, end = _BEFORE.search(before), _AFTER.match(after)
    if not is_shown or begin is None or end is None or begin[1] == end[1]:
        return None
    # Marks that are around every text are none of thoughts.
    elsewhere = before[: begin.start()] + after[end.end() :]
    is_common = begin[1] in elsewhere and end[1] in elsewhere
    return None if is_common else (begin[1], end[1])


def _in_the_source(template: ChatTemplate) -> tuple[str, str] | None:
    for pair in _ODD:
        if template.mentions(pair[1:]):
            return pair
    for left, name, right in _CLOSING.findall(template.source):
        begin, end = f"{left}{name}{right}", f"{left}/{name}{right}"
        if template.mentions([begin]) or f"split('{end}')" in template.source:
            return begin, end
    return None
