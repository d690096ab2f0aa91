"""A chat template: compiled once, probed once, rendered in a sandbox."""

from __future__ import annotations

import functools
import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, Template, TemplateError, TemplateSyntaxError, meta

from inference.errors import RequestRejected
from inference.prompts import template_probe
from inference.prompts.filters import TemplateRaised, make_environment
from inference.prompts.messages import Message
from inference.prompts.sandbox import render_bounded
from inference.prompts.template_probe import CallShape

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from inference.prompts.messages import Tool

_MAX_SOURCE_CHARS = 256 * 1024
_MAX_PROBE_CHARS = 1024 * 1024
_NO_TOKENS = {"bos_token": "", "eos_token": ""}


class ChatTemplateError(RequestRejected):
    """The template cannot be used, or rejects the conversation."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="chat_template_error", param="messages")


class ChatTemplate:
    """A compiled chat template, and what it supports.

    Properties are found by probing (probing.py) when they are first read.
    """

    def __init__(self, source: str) -> None:
        """Compile. Raises ChatTemplateError."""
        if len(source) > _MAX_SOURCE_CHARS:
            raise ChatTemplateError("The model's chat template is too long.")
        try:
            self._template: Template = _environment().from_string(source)
        except TemplateSyntaxError as error:
            raise ChatTemplateError(
                f"The model's chat template has an error in line {error.lineno}: "
                f"{error.message}"
            ) from None
        except (RecursionError, MemoryError, SyntaxError, ValueError) as error:
            raise ChatTemplateError(
                f"The model's chat template cannot be compiled: {error!r}"
            ) from None
        self._source = source
        self._wants_parts = template_probe.wants_parts(self._try)

    @property
    def max_preamble_chars(self) -> int:
        """The most characters of a prompt that can come from the template itself."""
        return _MAX_SOURCE_CHARS

    @cached_property
    def variables(self) -> frozenset[str]:
        """The variables that the template reads but does not set."""
        tree = _environment().parse(self._source)
        return frozenset(meta.find_undeclared_variables(tree))

    @cached_property
    def takes_system(self) -> bool:
        """Whether the prompt contains a system message."""
        return template_probe.takes_system(self._try)

    @cached_property
    def takes_tools(self) -> bool:
        """Whether the prompt contains the tools."""
        return template_probe.takes_tools(self._try)

    @cached_property
    def call_shape(self) -> CallShape | None:
        """How the template expects calls; None if it ignores them."""
        return template_probe.call_shape(self._try)

    @cached_property
    def takes_results(self) -> bool:
        """Whether the prompt contains the result of a tool."""
        return template_probe.takes_results(self._try)

    @cached_property
    def takes_several_calls(self) -> bool:
        """Whether one message may have more than one call."""
        shape = self.call_shape
        return shape is None or template_probe.takes_several_calls(self._try, shape)

    def check(self) -> None:
        """Raise ChatTemplateError unless the prompt contains a user's message."""
        said = Message("user", template_probe.TEXT)
        text = self.render([said], _NO_TOKENS, max_chars=_MAX_PROBE_CHARS)
        if template_probe.TEXT not in text:
            raise ChatTemplateError("The template does not render the user's messages.")

    def mentions(self, texts: Iterable[str]) -> bool:
        """Return whether the template's source contains any of the texts."""
        return any(text in self._source for text in texts)

    def render(
        self,
        messages: Sequence[Message],
        variables: Mapping[str, Any],
        *,
        max_chars: int,
        tools: Sequence[Tool] = (),
    ) -> str:
        """Return the prompt's text. Raises ChatTemplateError."""
        shape = CallShape()
        if any(message.tool_calls for message in messages):
            shape = self.call_shape or shape
        return self._render(
            [self._as_template_sees(message, shape) for message in messages],
            [{"type": "function", "function": tool.function()} for tool in tools],
            variables,
            max_chars,
        )

    def _render(
        self,
        messages: list[dict[str, Any]],
        tools: list[dict[str, Any]],
        variables: Mapping[str, Any],
        max_chars: int,
    ) -> str:
        context = {
            "add_generation_prompt": True,
            "documents": None,
            **variables,
            "messages": messages,
            "tools": tools or None,
        }
        try:
            return render_bounded(
                lambda: self._template.generate(context), max_chars=max_chars
            )
        except TemplateRaised as error:
            raise ChatTemplateError(
                f"The model's chat template rejected the messages: {error.message}"
            ) from None
        except TemplateError as error:
            raise ChatTemplateError(
                f"The model's chat template failed: {error.message}"
            ) from None
        # A template is a program, so it may raise anything.
        except Exception as error:
            raise ChatTemplateError(
                f"The model's chat template failed: {error}"
            ) from None

    def _try(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]]
    ) -> str | None:
        try:
            return self._render(messages, tools, _NO_TOKENS, _MAX_PROBE_CHARS)
        except ChatTemplateError:
            return None

    def _as_template_sees(self, message: Message, shape: CallShape) -> dict[str, Any]:
        role, content = message.role, message.content
        if role == "developer" and not self.mentions(["developer"]):
            role = "system"
        if message.tool_calls and not content:
            content = shape.content
        is_parts = self._wants_parts and content is not None
        seen: dict[str, Any] = {
            "role": role,
            "content": [{"type": "text", "text": content}] if is_parts else content,
        }
        if message.name is not None:
            seen["name"] = message.name
        if message.tool_call_id is not None:
            seen["tool_call_id"] = message.tool_call_id
        if message.tool_calls:
            seen["tool_calls"] = [
                call if shape.has_text else _with_object(call)
                for call in message.tool_calls
            ]
        if message.reasoning is not None:
            seen["reasoning_content"] = seen["reasoning"] = message.reasoning
            # gpt-oss has one place for the content and the reasoning before a call.
            if not (message.tool_calls and content):
                seen["thinking"] = message.reasoning
        return seen


@functools.cache
def _environment() -> Environment:
    return make_environment()


def _with_object(call: dict[str, Any]) -> dict[str, Any]:
    """Return the call with its arguments as an object, as most templates expect."""
    function = call["function"]
    try:
        arguments = json.loads(function["arguments"])
    except (ValueError, RecursionError):
        return call
    if not isinstance(arguments, dict):
        return call
    return {**call, "function": {**function, "arguments": arguments}}
