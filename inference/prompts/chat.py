"""Renders a conversation as a prompt, with the model's own chat template."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from inference.errors import RequestRejected
from inference.output_parsers.families import OUTPUT_PARSERS, detect
from inference.prompts.history.rendering import Rendering
from inference.prompts.history.rewriting import Target
from inference.prompts.messages import Message
from inference.prompts.reasoning_effort import (
    budget_variables,
    effort_settings,
    switch_settings,
)
from inference.prompts.rendering.errors import ChatTemplateError
from inference.prompts.template import ChatTemplate
from inference.prompts.thoughts import reasons, with_marks_of
from inference.prompts.tools_as_text import begin_answer, with_instructions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inference.output_parsers import OutputParser
    from inference.output_parsers.reasoning import ReasoningTags
    from inference.prompts.messages import Tool
    from registry.model_facts import ModelFacts

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
    ``left_out``: what the model has nothing for, ``EFFORT`` or paths of members.
    ``changes``: what was changed for the template to take the conversation.
    """

    text: str
    has_bos: bool
    output_parser: OutputParser = _PLAIN
    reasons: bool = False
    starts_in_reasoning: bool = False
    takes_several_calls: bool = True
    closes_reasoning: bool = False
    left_out: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()


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
    model: ModelFacts,
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
    chosen, writer = _chosen(model, has_tools=bool(tools), has_calls=has_calls)
    template = chosen.template
    output_parser = with_marks_of(template, chosen.output_parser)
    by_effort = effort_settings(effort, template, output_parser)
    switches = switch_settings(variables or {}, template, output_parser)
    requested = _requested_variables(template, switches.variables, by_effort.variables)
    if budget is not None:
        requested = {**budget_variables(budget, template), **requested}
    # The name of a tool's message is the one of its function.
    names = tuple(
        f"messages[{index}].name"
        for index, message in enumerate(messages)
        if message.name and message.role != "tool"
    )
    has_instructions = bool(tools) and not chosen.takes_tools
    calls_are_text = has_instructions and not chosen.writes_own_calls
    if calls_are_text:
        output_parser = writer = _plain(output_parser.reasoning)
    if has_instructions:
        messages = with_instructions(messages, tools, output_parser)
    described = () if has_instructions else tools
    abilities = template.abilities(has_tools=bool(described))
    bos = _token(model, "bos_token")
    tokens = {"bos_token": bos, "eos_token": _token(model, "eos_token")}
    rendering = Rendering(template, {**requested, **tokens}, tuple(described))
    text, history = rendering.of(messages, Target(abilities, writer, calls_are_text))
    if not text:
        raise ChatTemplateError("The model's chat template renders an empty prompt.")
    beginning, starts_in_reasoning = begin_answer(begun, text, output_parser)
    return Prompt(
        text=text + beginning,
        has_bos=bool(bos) and text.startswith(bos),
        output_parser=output_parser,
        reasons=starts_in_reasoning or reasons(template, output_parser),
        starts_in_reasoning=starts_in_reasoning,
        takes_several_calls=not described
        or not abilities.takes_calls
        or abilities.takes_several_calls,
        closes_reasoning=by_effort.closes_reasoning or switches.closes_reasoning,
        left_out=by_effort.left_out
        + tuple(f"chat_template_kwargs.{name}" for name in switches.left_out)
        + (() if abilities.takes_names else names),
        changes=history.changes,
    )


def can_continue(messages: Sequence[Message]) -> bool:
    """Return whether the last message can be the beginning of the answer."""
    return len(messages) > 1 and messages[-1].role == "assistant"


def output_parser_of(model: ModelFacts, source: str) -> OutputParser:
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


@dataclass(frozen=True, slots=True)
class _Choice:
    """A template of a model, and the output parser for it."""

    template: ChatTemplate
    output_parser: OutputParser

    @property
    def takes_tools(self) -> bool:
        """Whether the template shows tools, in a format that can be parsed."""
        return (
            self.output_parser is not _PLAIN
            and self.template.abilities(has_tools=True).takes_tools
        )

    @property
    def writes_own_calls(self) -> bool:
        """Whether the model is asked for calls in its own format.

        So if the template shows calls, but no tools.
        """
        return bool(self.output_parser.instructions) and self.takes_calls_alone

    @property
    def takes_calls_alone(self) -> bool:
        """Whether the template shows earlier calls in a request without tools."""
        abilities = self.template.abilities(has_tools=False)
        return abilities.takes_calls and not abilities.needs_tools


def _chosen(
    model: ModelFacts, *, has_tools: bool, has_calls: bool
) -> tuple[_Choice, OutputParser]:
    """Return the template for a conversation, and the parser that writes its calls.

    A model may have a second template for tools. It is used where it takes what the
    conversation has. Raises NoChatTemplate, or ChatTemplateError.
    """
    sources = [model.template_in_force(is_for_tools=False)]
    if has_tools or has_calls:
        sources.insert(0, model.template_in_force(is_for_tools=True))
    choices = [
        _Choice(compiled(source), output_parser_of(model, source))
        for source in dict.fromkeys(sources)
        if source
    ]
    if not choices:
        raise NoChatTemplate(model.name)
    parsers = [each.output_parser for each in choices]
    for each in choices:
        is_able = each.takes_tools if has_tools else each.takes_calls_alone
        if len(choices) == 1 or is_able:
            return each, each.output_parser
    writer = next((each for each in parsers if each is not _PLAIN), _PLAIN)
    return choices[-1], writer


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


@functools.lru_cache(maxsize=64)
def compiled(source: str) -> ChatTemplate:
    """Return the template, compiled once. Raises ChatTemplateError."""
    return ChatTemplate(source)


def _token(model: ModelFacts, name: str) -> str:
    value = model.metadata.get(name, "")
    return value if isinstance(value, str) else ""
