"""Grammars for optional strict tools: free text, and calls that match their schemas.

The grammar of the whole answer alternates between text in which no call begins, and
calls. The output parser decides where a call begins: at a mark; or, in formats without
one, at a line that begins with an object that names one of the tools.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.api.chat.tool_grammar import (
    PARAM,
    SPACE,
    GrammarWriter,
    checked,
)
from inference.engine.structured_output.grammar import Grammar
from inference.engine.structured_output.json_schema.preparation import prepare_schema
from inference.engine.structured_output.json_schema.style import JsonStyle

if TYPE_CHECKING:
    from inference.api.chat.tool_use import ToolUse
    from inference.output_parsers import PairFraming
    from inference.prompts.chat import Prompt
    from inference.prompts.messages import Tool

_ANY = "/(?s:.*)/"
_W = r"[ \t\r\n]*"
#: What may precede a call without a mark in its line, as in the output parser.
_BEFORE_OBJECT = r"[ \t\r\n,;]*(```json|```)?[ \t\r\n,;\[]*"


def strict_grammar(
    prompt: Prompt, use: ToolUse, style: JsonStyle = JsonStyle.FIXED
) -> Grammar | None:
    """Return the grammar of an answer that may be text or calls, some of them strict.

    None if no tool is strict. Raises BadRequest if the schema cannot be enforced in the
    model's format.
    """
    if not use.is_strict:
        return None
    writer = _Writer(prompt, style)
    if writer.framing.openers:
        answer = writer.after_marks(use)
    elif writer.framing.before_content:
        answer = writer.in_place_of_content(use)
    else:
        answer = writer.in_lines(use)
    return checked(
        Grammar(writer.source([answer]), PARAM, tuple(writer.control_tokens))
    )


class _Writer(GrammarWriter):
    """Writes the grammar of text with calls in it."""

    def after_marks(self, use: ToolUse) -> str:
        """Return the rule of an answer where a mark begins one call or several."""
        framing = self.framing
        opener = framing.openers[0]
        number = self.number((*framing.openers, *self._thoughts()))
        call = self.one_call(use)
        if framing.begin:
            calls = f"{self.text(framing.begin.removeprefix(opener))} {call}"
            if framing.separator is not None:
                calls += f" ({self.text(framing.separator)} {call})*"
            calls += f" {self.text(framing.end)}"
        else:
            calls = call
        return f"(open_{number} {calls})* without_{number}"

    def in_place_of_content(self, use: ToolUse) -> str:
        """Return the rule of an answer where content has a mark: content, or calls."""
        framing, pair = self.framing, self.framing.call
        calls = tuple(
            f"{framing.separator or ''}{pair.head(tool.name)}" for tool in use.may_call
        )
        number = self.number((*calls, *self._thoughts()))
        content = f"{self.text(framing.before_content)} without_{number}"
        return f"({self.calls(use)} | {content})"

    def in_lines(self, use: ToolUse) -> str:
        """Return the rule of an answer whose lines may be calls, name first."""
        names = "|".join(tool.name for tool in use.may_call)
        name = rf"{_BEFORE_OBJECT}\{{{_W}\"name\"{_W}:{_W}"
        free = rf"{_ANY} & ~/((?s:.*)\n)?{name}\"({names})\"(?s:.*)/"
        for thought in self._thoughts():
            free += f" & ~/(?s:.*){thought}(?s:.*)/"
        self.rule("FREE", free)
        self.rule("LINES", rf"/((?s:.*)\n)?/ & {free}")
        calls = []
        for index, tool in enumerate(use.may_call):
            key = rf"{_W},{_W}\"(arguments|parameters)\"{_W}:"
            self.rule(f"OPEN_{index}", rf"LINES /{name}\"{tool.name}\"{key}/")
            self.rule(f"line_{index}[lazy]", f"OPEN_{index}")
            arguments = self.arguments(index, tool)
            calls.append(f'line_{index} {SPACE} {arguments} {SPACE} "}}"')
        self.rule("free", "FREE")
        return f"({' | '.join(calls)})* free"

    def arguments(self, index: int, tool: Tool) -> str:
        """Return what matches a tool's arguments: any JSON if it is not strict."""
        if tool.strict:
            return super().arguments(index, tool)
        anything = prepare_schema({"type": "object"}, self.style)
        if self.framing.notation is not None:
            return self.in_notation(index, tool, anything)
        parameter = self.framing.parameter
        if parameter is None:
            return self.json(f"arguments_{index}", anything.document())
        pairs = filter(None, (parameter, parameter.for_strings))
        return f"({' | '.join(map(self._any_argument, pairs))})*"

    def _any_argument(self, pair: PairFraming) -> str:
        name = f"{self.text(pair.before_name)} {self.key(pair)}"
        return f"{self.head_of_argument(pair, name)} {self.up_to(pair.after)}"

    def head(self, tool: Tool) -> str:
        """Return what comes before a call's arguments, after its mark."""
        head = super().head(tool)
        if self.framing.openers and not self.framing.begin:
            return head.removeprefix(self.framing.openers[0])
        return head

    def _thoughts(self) -> tuple[str, ...]:
        """Return what begins reasoning, which no text of the answer may contain."""
        return self.output_parser.reasoning.begin if self.prompt.reasons else ()
