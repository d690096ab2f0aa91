"""How long a model is to think, in the words of its template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inference.errors import RequestRejected

if TYPE_CHECKING:
    from inference.output_parsers import OutputParser
    from inference.prompts.template import ChatTemplate

#: OpenAI's words for it.
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_LEVEL = "reasoning_effort"
#: The variable in which Seed-OSS, as an example, reads how many tokens it may think.
BUDGET = "thinking_budget"
#: Qwen, GLM and others have the first, DeepSeek and Granite the second.
_SWITCHES = ("enable_thinking", "thinking")


def reasons(template: ChatTemplate, output_parser: OutputParser) -> bool:
    """Return whether the template knows of reasoning."""
    return template.mentions(
        (*output_parser.reasoning.begin, *output_parser.reasoning.end)
    )


def budget_variables(budget: int, template: ChatTemplate) -> dict[str, Any]:
    """Return the variables that tell of a budget of tokens, if there are any."""
    told: dict[str, Any] = {BUDGET: budget, **dict.fromkeys(_SWITCHES, False)}
    names = (BUDGET,) if budget else told
    return {name: told[name] for name in names if name in template.variables}


def effort_variables(
    effort: str, template: ChatTemplate, output_parser: OutputParser
) -> dict[str, Any]:
    """Return the variables that ask for an effort.

    A template with a level gets the word, one with a switch gets it switched off
    by "none" and on by everything else. Raises RequestRejected where it has
    neither, or no way to think not at all.
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
    how = "told not to think" if is_none else "told how long to think"
    raise RequestRejected(
        f"This model cannot be {how}: its chat template has no variable for it.",
        code="unsupported_parameter",
        param=_LEVEL,
    )
