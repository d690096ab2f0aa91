"""Reasoning: how long a model is to think, and where it is told what it thought."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inference.api.declarations.fields import Choice, Integer
from inference.api.declarations.records import Record
from inference.api.errors import InvalidRequest
from inference.api.parameters.sampling import MAX_TOKENS
from inference.engine.sampling.thinking_budget import ThinkingBudget
from inference.errors import RequestRejected
from inference.prompts.effort import BUDGET, EFFORTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inference.api.declarations.fields import Field
    from inference.prompts.chat import Prompt

_EFFORT = Choice(EFFORTS)
#: -1 is no limit, as llama-server has it.
_BUDGET = Integer(-1, MAX_TOKENS)
#: Qwen's name, vLLM's, and llama-server's two.
_BUDGETS = (
    BUDGET,
    "thinking_token_budget",
    "thinking_budget_tokens",
    "reasoning_budget_tokens",
)
_NOT_OPENAIS = "Not in OpenAI's API."
FIELDS: dict[str, Field] = {
    "reasoning_effort": _EFFORT,
    # llama-server's words.
    "reasoning_format": Choice(("auto", "deepseek", "none")),
    # OpenRouter's object.
    "reasoning": Record({"effort": _EFFORT, "max_tokens": _BUDGET}),
    **dict.fromkeys(_BUDGETS, _BUDGET),
}
HELP = {
    "reasoning_effort": "How long the model thinks, in the words of its template; none "
    "switches it off. Refused where the template has no variable for it.",
    "reasoning_format": "auto and deepseek tell what the model thought as "
    "reasoning_content, none leaves it in content, between its tags. Default: auto. "
    f"{_NOT_OPENAIS}",
    "reasoning": f"Both effort and budget: OpenRouter's object. {_NOT_OPENAIS}",
    **dict.fromkeys(
        _BUDGETS,
        "The most tokens that the model thinks; then its thought is closed and it "
        f"answers. 0 is no thinking, -1 no limit. {_NOT_OPENAIS}",
    ),
}


def effort_of(given: Mapping[str, Any]) -> str | None:
    """Return how long the model is to think, if a member says it."""
    inner = given.get("reasoning", {}).get("effort")
    found: dict[str, str] = {
        name: effort
        for name, effort in {
            "reasoning_effort": given.get("reasoning_effort"),
            "reasoning.effort": inner,
        }.items()
        if effort is not None
    }
    effort: str | None = _agreed(found)
    return effort


def budget_of(given: Mapping[str, Any]) -> int | None:
    """Return how many tokens the model may think, if a member limits them.

    Raises InvalidRequest.
    """
    found = {name: given[name] for name in _BUDGETS if name in given}
    if "max_tokens" in given.get("reasoning", {}):
        found["reasoning.max_tokens"] = given["reasoning"]["max_tokens"]
    variables = given.get("chat_template_kwargs", {})
    if variables.get(BUDGET) is not None:
        path = f"chat_template_kwargs.{BUDGET}"
        found[path] = _BUDGET.parse(variables[BUDGET], path)
    budget = _agreed(found)
    return None if budget == -1 else budget


def _agreed(found: Mapping[str, Any]) -> Any:
    """Return what all members say. Raises InvalidRequest where they differ."""
    first: str | None = None
    for name, value in found.items():
        if first is not None and value != found[first]:
            raise InvalidRequest(
                f"'{first}' and '{name}' mean the same and differ; send one of them.",
                param=name,
            )
        first = first or name
    return None if first is None else found[first]


def thinking_budget(prompt: Prompt, max_tokens: int | None) -> ThinkingBudget | None:
    """Return the limit of what is thought before the answer to a prompt.

    Raises RequestRejected where the model is not known to think: the limit would
    have no effect.
    """
    if max_tokens is None:
        return None
    if not prompt.reasons:
        if max_tokens == 0:
            return None
        raise RequestRejected(
            "This model is not known to think: its chat template has no mark of it, so "
            f"'{BUDGET}' has no effect.",
            code="unsupported_parameter",
            param=BUDGET,
        )
    reasoning, framing = prompt.output_parser.reasoning, prompt.output_parser.framing
    closing = reasoning.closing + framing.after_reasoning
    return ThinkingBudget(
        max_tokens=max_tokens,
        begin=reasoning.begin,
        end=reasoning.end,
        closing=closing,
        last_closing=closing + framing.before_content if reasoning.may_recur else "",
        is_begun=prompt.starts_in_reasoning,
    )
