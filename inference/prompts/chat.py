"""Renders a conversation as a prompt, with the model's own chat template."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from inference.errors import RequestRejected
from inference.output_parsers.families import OUTPUT_PARSERS, detect
from inference.prompts.messages import Message
from inference.prompts.reasoning_effort import (
    budget_variables,
    effort_settings,
    reasons,
)
from inference.prompts.template import ChatTemplate, ChatTemplateError
from inference.prompts.tools_as_text import (
    begin_answer,
    with_calls_as_text,
    with_instructions,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inference.output_parsers import OutputParser
    from inference.output_parsers.reasoning import ReasoningTags
    from inference.prompts.messages import Tool
    from registry.models import Model

_PLAIN = OUTPUT_PARSERS["plain_json"]
_NO_ANSWER = Message("assistant", "")
#: Variables that only the server sets.
_RESERVED = frozenset(
    ("messages", "tools", "add_generation_prompt", "bos_token", "eos_token")
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered conversation, and how to parse the answer to it.

    ``has_bos``: the text begins with the BOS token, so the tokenizer must not add one.
    ``reasons``: the model may think before it answers. ``starts_in_reasoning``: the
    prompt ends in reasoning. ``takes_several_calls``: an answer may have several calls.
    ``closes_reasoning``: reasoning is to be closed where it begins.
    ``leaves_effort_out``: the model has nothing that the effort could change.
    """

    text: str
    has_bos: bool
    output_parser: OutputParser = _PLAIN
    reasons: bool = False
    starts_in_reasoning: bool = False
    takes_several_calls: bool = True
    closes_reasoning: bool = False
    leaves_effort_out: bool = False


class NoChatTemplate(RequestRejected):
    """The model file has no chat template."""

    def __init__(self, model_name: str) -> None:
        super().__init__(
            f"The model '{model_name}' has no chat template, so its prompt format is "
            "unknown. Use /v1/completions.",
            code="no_chat_template",
            param="model",
        )


def prompt_render(
    model: Model,
    messages: Sequence[Message],
    *,
    tools: Sequence[Tool] = (),
    variables: Mapping[str, Any] | None = None,
    effort: str | None = None,
    budget: int | None = None,
    continues: bool = False,
) -> Prompt:
    """Return the conversation as a prompt.

    ``variables`` go to the template, ``effort`` says how long the model thinks,
    ``budget`` is the most tokens for it. ``continues``: the last message is the
    beginning of the answer. Raises NoChatTemplate, ChatTemplateError, or
    RequestRejected for a parameter that the template does not support.
    """
    begun = messages[-1] if continues else _NO_ANSWER
    messages = messages[:-1] if continues else messages
    has_calls = any(each.tool_calls or each.role == "tool" for each in messages)
    source = model.template_in_force(is_for_tools=bool(tools) or has_calls)
    if not source:
        raise NoChatTemplate(model.name)
    template = compiled(source)
    output_parser = output_parser_of(model, source)
    by_effort = effort_settings(effort, template, output_parser)
    requested = _requested_variables(template, variables or {}, by_effort.variables)
    if budget is not None:
        requested = {**budget_variables(budget, template), **requested}
    has_instructions = bool(tools) and not (
        output_parser is not _PLAIN and template.takes_tools
    )
    takes_several_calls = has_instructions or not tools or template.takes_several_calls
    if has_instructions:
        output_parser = _plain(output_parser.reasoning)
    if has_calls and (has_instructions or template.call_shape is None):
        messages = with_calls_as_text(
            messages,
            output_parser.framing,
            takes_results=output_parser.name != _PLAIN.name and template.takes_results,
        )
    if has_instructions:
        messages = with_instructions(
            messages, tools, takes_system=template.takes_system
        )
        tools = ()
    bos = _token(model, "bos_token")
    text = template.render(
        messages,
        {**requested, "bos_token": bos, "eos_token": _token(model, "eos_token")},
        max_chars=_max_chars(messages, tools) + template.max_preamble_chars,
        tools=tools,
    )
    if not text:
        raise ChatTemplateError("The model's chat template renders an empty prompt.")
    beginning, starts_in_reasoning = begin_answer(begun, text, output_parser)
    return Prompt(
        text=text + beginning,
        has_bos=bool(bos) and text.startswith(bos),
        output_parser=output_parser,
        reasons=starts_in_reasoning or reasons(template, output_parser),
        starts_in_reasoning=starts_in_reasoning,
        takes_several_calls=takes_several_calls,
        closes_reasoning=by_effort.closes_reasoning,
        leaves_effort_out=by_effort.is_left_out,
    )


def can_continue(messages: Sequence[Message]) -> bool:
    """Return whether the last message can be the beginning of the answer."""
    return len(messages) > 1 and messages[-1].role == "assistant"


def output_parser_of(model: Model, source: str) -> OutputParser:
    """Return the output parser of a model with this template.

    Raises RequestRejected if the model's settings name an unknown one.
    """
    name = model.output_parser_override
    if not name:
        return detect(source, model.architecture)
    if name not in OUTPUT_PARSERS:
        raise RequestRejected(
            f"The output parser '{name}' in the settings of the model '{model.name}' "
            "does not exist.",
            code="chat_template_error",
            param="model",
        )
    return OUTPUT_PARSERS[name]


def _plain(reasoning: ReasoningTags) -> OutputParser:
    """Return plain_json with the model's reasoning tags."""
    marks = (*reasoning.begin, *reasoning.end)
    return replace(_PLAIN, reasoning=reasoning, preserved_tokens=marks)


def _requested_variables(
    template: ChatTemplate,
    variables: Mapping[str, Any],
    by_effort: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the template variables of a request. Raises RequestRejected."""
    for name in variables:
        param = f"chat_template_kwargs.{name}"
        if name in _RESERVED:
            raise RequestRejected(
                f"'{param}' cannot be set: the server sets it.",
                code="invalid_value",
                param=param,
            )
        if name not in template.variables:
            raise RequestRejected(
                f"The model's chat template has no variable '{name}'.",
                code="unsupported_parameter",
                param=param,
            )
    for name in by_effort:
        if name in variables and variables[name] != by_effort[name]:
            raise RequestRejected(
                f"'reasoning_effort' and 'chat_template_kwargs.{name}' contradict each "
                "other; send one of them.",
                code="invalid_value",
                param=f"chat_template_kwargs.{name}",
            )
    return {**variables, **by_effort}


def _max_chars(messages: Sequence[Message], tools: Sequence[Tool]) -> int:
    """Return the longest text that a template may render from these.

    That allows for text around each message, and for schemas with indentation.
    """
    size = sum(message.size_bytes for message in messages)
    schemas = sum(len(json.dumps(tool.function())) for tool in tools)
    return 4 * size + 8 * schemas + 4096 * (len(messages) + len(tools))


@functools.lru_cache(maxsize=64)
def compiled(source: str) -> ChatTemplate:
    """Return the template, compiled once. Raises ChatTemplateError."""
    return ChatTemplate(source)


def _token(model: Model, name: str) -> str:
    value = model.metadata.get(name, "")
    return value if isinstance(value, str) else ""
