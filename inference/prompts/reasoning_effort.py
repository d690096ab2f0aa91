"""How long a model thinks, as variables of its chat template."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inference.output_parsers import OutputParser
    from inference.prompts.template import ChatTemplate

#: The values of OpenAI's ``reasoning_effort``.
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_LEVEL = "reasoning_effort"
#: The token limit of reasoning, in Seed-OSS and others.
BUDGET = "thinking_budget"
#: Qwen, GLM and others read the first, DeepSeek and Granite the second.
_SWITCHES = ("enable_thinking", "thinking")


@dataclass(frozen=True, slots=True)
class EffortSettings:
    """How a model gets a ``reasoning_effort``.

    ``variables`` go to the template. ``closes_reasoning``: the template cannot turn
    reasoning off, so it is to be closed where it begins. ``is_left_out``: the model has
    nothing that the effort could change.
    """

    variables: dict[str, Any] = field(default_factory=dict)
    closes_reasoning: bool = False
    is_left_out: bool = False


def reasons(template: ChatTemplate, output_parser: OutputParser) -> bool:
    """Return whether the template mentions the tags of reasoning."""
    return template.mentions(
        (*output_parser.reasoning.begin, *output_parser.reasoning.end)
    )


def budget_variables(budget: int, template: ChatTemplate) -> dict[str, Any]:
    """Return the template variables for a token budget; none if it has no such ones."""
    values: dict[str, Any] = {BUDGET: budget}
    if not budget:
        values |= dict.fromkeys(_SWITCHES, False)
    return {k: v for k, v in values.items() if k in template.variables}


def effort_settings(
    effort: str | None, template: ChatTemplate, output_parser: OutputParser
) -> EffortSettings:
    """Return how the model gets a ``reasoning_effort``; None is none given.

    A template with levels gets the word. A template with a switch is switched off by
    "none" and on by every other effort.
    """
    if effort is None:
        return EffortSettings()
    is_none = effort == "none"
    variables: dict[str, Any] = {
        name: not is_none for name in _SWITCHES if name in template.variables
    }
    has_level = _LEVEL in template.variables
    if has_level and (not is_none or template.mentions(('"none"', "'none'"))):
        variables[_LEVEL] = effort
    return EffortSettings(
        variables,
        closes_reasoning=is_none and not variables and reasons(template, output_parser),
        is_left_out=not is_none and not variables,
    )
