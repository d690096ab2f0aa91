"""How long a model thinks, as variables of its chat template."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inference.prompts.thoughts import reasons

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inference.output_parsers import OutputParser
    from inference.prompts.template import ChatTemplate

#: The values of OpenAI's ``reasoning_effort``.
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
#: Of gpt-oss and many others, of Kimi K3, of Muse Glimmer.
_LEVELS = ("reasoning_effort", "thinking_effort", "reasoning_strength")
#: What templates call no effort, in the order in which they are tried.
_NO_EFFORT = ("none", "no_think")
#: The member of a request, and the name of the first of these.
EFFORT = "reasoning_effort"
#: The token limit of reasoning, in Seed-OSS and others.
BUDGET = "thinking_budget"
#: Variables that turn reasoning off and on. Qwen, GLM and others read the first,
#: DeepSeek, Granite and Kimi K3 the second, MiniMax M3 the third.
_SWITCHES: dict[str, tuple[Any, Any]] = {
    "enable_thinking": (False, True),
    "thinking": (False, True),
    "thinking_mode": ("disabled", "enabled"),
}


@dataclass(frozen=True, slots=True)
class EffortSettings:
    """How a model gets a ``reasoning_effort``.

    ``variables`` go to the template. ``closes_reasoning``: the template cannot turn
    reasoning off, so it is to be closed where it begins. ``left_out``: what the model
    has nothing for, ``EFFORT`` or a name of a variable.
    """

    variables: dict[str, Any] = field(default_factory=dict)
    closes_reasoning: bool = False
    left_out: tuple[str, ...] = ()


def budget_variables(budget: int, template: ChatTemplate) -> dict[str, Any]:
    """Return the template variables for a token budget; none if it has no such ones."""
    values: dict[str, Any] = {BUDGET: budget}
    if not budget:
        values |= {name: off for name, (off, _) in _SWITCHES.items()}
    return {k: v for k, v in values.items() if k in template.variables}


def effort_settings(
    effort: str | None, template: ChatTemplate, output_parser: OutputParser
) -> EffortSettings:
    """Return how the model gets a ``reasoning_effort``; None is none given.

    A template with levels gets the word, or the nearest that it takes, rather more than
    less. A template with a switch is switched off by "none" and on by every other
    effort.
    """
    if effort is None:
        return EffortSettings()
    is_none = effort == "none"
    variables: dict[str, Any] = {
        name: off if is_none else on
        for name, (off, on) in _SWITCHES.items()
        if name in template.variables
    }
    for name in _LEVELS:
        if name in template.variables:
            level = _level(effort, template, name)
            variables |= {} if level is None else {name: level}
    return EffortSettings(
        variables,
        closes_reasoning=is_none and not variables and reasons(template, output_parser),
        left_out=() if is_none or variables else (EFFORT,),
    )


def switch_settings(
    given: Mapping[str, Any], template: ChatTemplate, output_parser: OutputParser
) -> EffortSettings:
    """Return how the model gets the switches among the variables of a request.

    Clients send them to every model. A switch that the template does not have means
    what an effort means: false is "none", true asks for what a model that reasons does
    anyway.
    """
    foreign = {
        name: given[name]
        for name, (off, _) in _SWITCHES.items()
        if isinstance(off, bool)
        and isinstance(given.get(name), bool)
        and name not in template.variables
    }
    others = {name: value for name, value in given.items() if name not in foreign}
    does_reason = reasons(template, output_parser)
    is_off = False in foreign.values() and not any(
        others.get(name) is False for name in _SWITCHES
    )
    return EffortSettings(
        others,
        closes_reasoning=is_off and does_reason,
        left_out=tuple(
            name for name, is_on in foreign.items() if is_on and not does_reason
        ),
    )


@functools.lru_cache(maxsize=256)
def _level(effort: str, template: ChatTemplate, variable: str) -> str | None:
    """Return the template's word for an effort, None if it has none."""
    if effort == "none":
        quoted = {word: (f"'{word}'", f'"{word}"') for word in _NO_EFFORT}
        words = [word for word in _NO_EFFORT if template.mentions(quoted[word])]
    else:
        asked = EFFORTS.index(effort)
        words = sorted(
            EFFORTS[1:],
            key=lambda word: (abs(EFFORTS.index(word) - asked), -EFFORTS.index(word)),
        )
    return next((word for word in words if template.takes({variable: word})), None)
