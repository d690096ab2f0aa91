"""Reasoning parameters: effort, thinking budget, and where thoughts are returned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import TypeAdapter, ValidationError

from inference.api.body.request_body import Body
from inference.api.body.validation_errors import bad_request
from inference.api.chat.template_parameters import Effort, TemplateParameters
from inference.api.errors import BadRequest
from inference.api.parameters.value_types import MAX_TOKENS, Between
from inference.engine.sampling.thinking_budget import ThinkingBudget
from inference.prompts.reasoning_effort import BUDGET, EFFORT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inference.api.streaming.answer_assembler import ReasoningPlace
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

#: What OpenRouter's ``enabled`` means where no effort is given.
_ENABLED = "medium"


class Reasoning(Body):
    """OpenRouter's object: how much the model reasons, and who sees it."""

    effort: Effort | None = None
    max_tokens: _Budget | None = None
    enabled: bool | None = None
    """false is an effort of none; true is an effort of medium if none is given."""
    exclude: bool = False
    """Return no reasoning; the model reasons all the same."""


class ReasoningParameters(TemplateParameters):
    """The reasoning parameters, under the names of several servers."""

    reasoning_format: Literal["auto", "deepseek", "none"] = "auto"
    """``auto`` and ``deepseek`` return the reasoning as reasoning_content; ``none``
    leaves it in content, between its tags. Not in OpenAI's API."""
    reasoning: Reasoning | None = None
    """OpenRouter's object: effort and max_tokens, a thinking budget; enabled; exclude,
    to get no reasoning. Not in OpenAI's API."""
    include_reasoning: bool = True
    """false returns no reasoning; the model reasons all the same. Not in OpenAI's
    API."""
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
    effort: str | None = _agreed(_efforts(body))
    return effort


def left_out_of(prompt: Prompt, body: ReasoningParameters) -> list[str]:
    """Return the members that the answer to a prompt goes without."""
    left_out = [path for path in prompt.left_out if path != EFFORT]
    if EFFORT in prompt.left_out:
        left_out += [path for path, effort in _efforts(body).items() if effort]
    if not prompt.reasons:
        # A model that does not think is within any limit but none.
        left_out += [path for path, budget in _budgets(body).items() if budget]
    return left_out


def _efforts(body: ReasoningParameters) -> dict[str, str | None]:
    given: dict[str, str | None] = {"reasoning_effort": body.reasoning_effort}
    if body.reasoning is not None:
        given["reasoning.effort"] = body.reasoning.effort
        if body.reasoning.enabled is False:
            given["reasoning.enabled"] = "none"
        elif body.reasoning.enabled and set(given.values()) <= {None, "none"}:
            given["reasoning.enabled"] = _ENABLED
    return given


def shown_reasoning(body: ReasoningParameters) -> ReasoningPlace:
    """Return where the reasoning of an answer is. Raises BadRequest."""
    is_excluded = body.reasoning is not None and body.reasoning.exclude
    if body.include_reasoning and not is_excluded:
        return "content" if body.reasoning_format == "none" else "member"
    if body.reasoning_format == "none":
        path = "reasoning.exclude" if is_excluded else "include_reasoning"
        raise BadRequest(
            f"'reasoning_format' none leaves the reasoning in content, and '{path}' "
            "leaves it out; send one of them.",
            param=path,
        )
    return "nowhere"


def budget_of(body: ReasoningParameters) -> int | None:
    """Return the thinking budget in tokens, if requested.

    Raises BadRequest if two members differ.
    """
    budget: int | None = _agreed(_budgets(body))
    return None if budget == -1 else budget


def _budgets(body: ReasoningParameters) -> dict[str, int | None]:
    """Return the thinking budget under each name. Raises BadRequest."""
    given: dict[str, int | None] = {name: getattr(body, name) for name in _BUDGETS}
    if body.reasoning is not None:
        given["reasoning.max_tokens"] = body.reasoning.max_tokens
    variable = body.chat_template_kwargs.get(BUDGET)
    if variable is not None:
        path = f"chat_template_kwargs.{BUDGET}"
        try:
            given[path] = _BUDGET.validate_python(variable)
        except ValidationError as error:
            raise bad_request(error, variable, path) from None
    return given


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
    """Return the thinking budget for the answer to a prompt, if it has one.

    It is 0 where a template cannot turn off reasoning that the request turns off.
    """
    if prompt.closes_reasoning:
        max_tokens = 0
    if max_tokens is None or not prompt.reasons:
        return None
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
