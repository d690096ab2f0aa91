"""The settings of the output parser for a chat request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.api.streaming.answer_assembler import ParserSettings

if TYPE_CHECKING:
    from inference.api.chat.tool_use import ToolUse
    from inference.api.streaming.answer_assembler import ReasoningPlace
    from inference.prompts.chat import Prompt


def parser_settings(
    prompt: Prompt, use: ToolUse, *, reasoning: ReasoningPlace
) -> ParserSettings | None:
    """Return how to parse the answers; None if their whole text is content."""
    is_marked = prompt.reasons or bool(prompt.output_parser.framing.before_content)
    if not use.may_call and not is_marked:
        return None
    return ParserSettings(
        output_parser=prompt.output_parser,
        tools={tool.name: tool.parameters for tool in use.may_call},
        starts_in_reasoning=prompt.starts_in_reasoning,
        max_calls=use.max_calls if prompt.takes_several_calls else 1,
        names_first=use.is_strict,
        only_calls=use.must_call,
        reasoning=reasoning,
    )
