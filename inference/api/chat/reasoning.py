"""Reasoning parameters: effort, thinking budget, and where thoughts are returned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import TypeAdapter, ValidationError

from inference.api.body.request_body import Body
from inference.api.body.validation_errors import bad_request
from inference.api.chat.template_parameters import Effort, TemplateParameters
from inference.api.errors import BadRequest
from inference.api.parameters.sampling import MAX_TOKENS
from inference.api.parameters.value_types import Between
from inference.engine.sampling.thinking_budget import ThinkingBudget
from inference.errors import RequestRejected
from inference.prompts.reasoning_effort import BUDGET

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inference.prompts.chat import Prompt

#: -1 means no limit, as in llama-server.
_Budget = Annotated[int, Between(-1, MAX_TOKENS)]
_BUDGET: TypeAdapter[int] = TypeAdapter(_Budget, config={"strict": True})
#: The members that set a thinking budget: Qwen's name, vLLM's, llama-server's two.
_BUDGETS = (
    "thinking_budget",
    "thinking_token_budget",
    "thinking_budget_tokens",
    "reasoning_budget_tokens",
)


class Reasoning(Body):
    """OpenRouter's object: an effort, a thinking budget, or both."""

    effort: Effort | None = None
    max_tokens: _Budget | None = None


class ReasoningParameters(TemplateParameters):
    """The reasoning parameters, under the names of several servers."""

    reasoning_format: Literal["auto", "deepseek", "none"] = "auto"
    """``auto`` and ``deepseek`` return the reasoning as reasoning_content; ``none``
    leaves it in content, between its tags. Not in OpenAI's API."""
    reasoning: Reasoning | None = None
    """OpenRouter's object: effort, thinking budget, or both. Not in OpenAI's API."""
    thinking_budget: _Budget | None = None
    """The maximum number of reasoning tokens; then the model must answer. 0 disables
    reasoning, -1 is no limit. Not in OpenAI's API."""
    thinking_token_budget: _Budget | None = None
    """vLLM's name for thinking_budget. Not in OpenAI's API."""
    thinking_budget_tokens: _Budget | None = None
    """llama-server's name for thinking_budget in a request. Not in OpenAI's API."""
    reasoning_budget_tokens: _Budget | None = None
    """llama-server's other name for thinking_budget. Not in OpenAI's API."""


def effort_of(body: ReasoningParameters) -> str | None:
    """Return the reasoning effort, if requested.

    Raises BadRequest if two members differ.
    """
    inner = None if body.reasoning is None else body.reasoning.effort
    effort: str | None = _agreed(
        {"reasoning_effort": body.reasoning_effort, "reasoning.effort": inner}
    )
    return effort


def effort_paths(body: ReasoningParameters) -> list[str]:
    """Return the members that request a reasoning effort."""
    given = {
        "reasoning_effort": body.reasoning_effort,
        "reasoning.effort": body.reasoning and body.reasoning.effort,
    }
    return [path for path, effort in given.items() if effort]


def budget_of(body: ReasoningParameters) -> int | None:
    """Return the thinking budget in tokens, if requested.

    Raises BadRequest if two members differ.
    """
    given = {name: getattr(body, name) for name in _BUDGETS}
    if body.reasoning is not None:
        given["reasoning.max_tokens"] = body.reasoning.max_tokens
    variable = body.chat_template_kwargs.get(BUDGET)
    if variable is not None:
        path = f"chat_template_kwargs.{BUDGET}"
        try:
            given[path] = _BUDGET.validate_python(variable)
        except ValidationError as error:
            raise bad_request(error, variable, path) from None
    budget: int | None = _agreed(given)
    return None if budget == -1 else budget


def _agreed(given: Mapping[str, Any]) -> Any:
    """Return the value that all given members agree on; None is not given."""
    found = {path: value for path, value in given.items() if value is not None}
    first: str | None = None
    for name, value in found.items():
        if first is not None and value != found[first]:
            raise BadRequest(
                f"'{first}' and '{name}' mean the same and differ; send one of them.",
                param=name,
            )
        first = first or name
    return None if first is None else found[first]


def thinking_budget(prompt: Prompt, max_tokens: int | None) -> ThinkingBudget | None:
    """Return the thinking budget for the answer to a prompt.

    It is 0 where a template cannot turn off reasoning that the request turns off.
    Raises RequestRejected if the model is not known to reason: the limit would have no
    effect.
    """
    if prompt.closes_reasoning:
        max_tokens = 0
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
        end=(*reasoning.end, *reasoning.stops),
        closing=closing,
        last_closing=closing + framing.before_content if reasoning.may_recur else "",
        is_begun=prompt.starts_in_reasoning,
    )
