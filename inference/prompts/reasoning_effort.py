"""How long a model thinks, as variables of its chat template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inference.errors import RequestRejected

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


def effort_variables(
    effort: str, template: ChatTemplate, output_parser: OutputParser
) -> dict[str, Any]:
    """Return the template variables for a ``reasoning_effort``.

    A template with levels gets the word. A template with a switch is switched off by
    "none" and on by every other effort. Raises RequestRejected if the template has
    neither, or cannot turn reasoning off.
    """
    is_none = effort == "none"
    variables: dict[str, Any] = {
        name: not is_none for name in _SWITCHES if name in template.variables
    }
    has_level = _LEVEL in template.variables
    if has_level and (not is_none or template.mentions(('"none"', "'none'"))):
        variables[_LEVEL] = effort
    if variables or (is_none and not reasons(template, output_parser)):
        return variables
    refused = (
        "Thinking cannot be turned off for this model"
        if is_none
        else "The thinking effort of this model cannot be set"
    )
    raise RequestRejected(
        f"{refused}: its chat template has no variable for it.",
        code="unsupported_parameter",
        param=_LEVEL,
    )
