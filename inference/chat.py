"""Chat: a conversation becomes a prompt by the model's own template."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinja2 import Template, TemplateError, TemplateSyntaxError

from inference.errors import RequestRejected
from inference.template_filters import TemplateRaised, make_environment
from inference.template_sandbox import render_bounded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.models import Model

_MAX_TEMPLATE_CHARS = 256 * 1024
_PROBE = "a-probe-of-the-template"


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation; ``content`` is None only beside tool calls."""

    role: str
    content: str | None
    name: str | None = None
    tool_call_id: str | None = None
    tool_calls: tuple[dict[str, Any], ...] = ()

    @property
    def size_bytes(self) -> int:
        """The size of what it adds to a prompt, in UTF-8."""
        calls = [call["function"] for call in self.tool_calls]
        texts = [self.content or "", self.name or ""]
        texts += [call["name"] + call["arguments"] for call in calls]
        return sum(len(text.encode()) for text in texts)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered conversation.

    ``has_bos`` says that the template has put the BOS token's text in front, so
    that the tokenizer must not add a second one.
    """

    text: str
    has_bos: bool


class ChatTemplateError(RequestRejected):
    """The template cannot be used, or refuses the conversation."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="chat_template_error", param="messages")


class NoChatTemplate(RequestRejected):
    """The model file carries no template."""

    def __init__(self, model_name: str) -> None:
        super().__init__(
            f"The model '{model_name}' has no chat template, so nobody knows how it "
            "was taught to chat. Use /v1/completions.",
            code="no_chat_template",
            param="model",
        )


class ChatTemplate:
    """A compiled template and what it expects."""

    def __init__(self, source: str) -> None:
        """Compile. Raises ChatTemplateError."""
        if len(source) > _MAX_TEMPLATE_CHARS:
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
        self._knows_developer = "developer" in source
        self._wants_parts = not self._shows("text") and self._shows("parts")

    def render(
        self, messages: Sequence[Message], variables: dict[str, Any], *, max_chars: int
    ) -> str:
        """Return the prompt's text. Raises ChatTemplateError."""
        return self._render(
            [self._as_template_sees(message) for message in messages],
            variables,
            max_chars,
        )

    def _render(
        self, messages: list[dict[str, Any]], variables: dict[str, Any], max_chars: int
    ) -> str:
        context = {
            "messages": messages,
            "add_generation_prompt": True,
            "tools": None,
            "documents": None,
            **variables,
        }
        try:
            return render_bounded(
                lambda: self._template.generate(context), max_chars=max_chars
            )
        except TemplateRaised as error:
            raise ChatTemplateError(
                f"The model's chat template refuses the messages: {error.message}"
            ) from None
        except TemplateError as error:
            raise ChatTemplateError(
                f"The model's chat template failed: {error.message}"
            ) from None
        # A template is a program; what it raises is its own fault.
        except Exception as error:
            raise ChatTemplateError(
                f"The model's chat template failed: {error}"
            ) from None

    def _as_template_sees(self, message: Message) -> dict[str, Any]:
        role, content = message.role, message.content
        if role == "developer" and not self._knows_developer:
            role = "system"
        seen: dict[str, Any] = {
            "role": role,
            "content": _parts(content) if self._wants_parts else content,
        }
        if message.name is not None:
            seen["name"] = message.name
        if message.tool_call_id is not None:
            seen["tool_call_id"] = message.tool_call_id
        if message.tool_calls:
            seen["tool_calls"] = [_with_object(call) for call in message.tool_calls]
        return seen

    def _shows(self, form: str) -> bool:
        """Whether content in this form comes out of the template."""
        content = _PROBE if form == "text" else _parts(_PROBE)
        messages = [{"role": "user", "content": content}]
        variables = {"bos_token": "", "eos_token": ""}
        try:
            prompt = self._render(messages, variables, max_chars=1024 * 1024)
        except ChatTemplateError:
            return False
        # A list that is simply printed shows the probe too, in Python's brackets.
        return _PROBE in prompt and "'text'" not in prompt


def prompt_render(model: Model, messages: Sequence[Message]) -> Prompt:
    """Return the conversation as a prompt. Raises NoChatTemplate, ChatTemplateError."""
    if not model.chat_template:
        raise NoChatTemplate(model.name)
    template = _compiled(model.chat_template)
    bos = _token(model, "bos_token")
    # Room for what a template adds to each message, and for its own preamble.
    size = sum(message.size_bytes for message in messages)
    text = template.render(
        messages,
        {"bos_token": bos, "eos_token": _token(model, "eos_token")},
        max_chars=4 * size + 4096 * len(messages) + _MAX_TEMPLATE_CHARS,
    )
    if not text:
        raise ChatTemplateError("The model's chat template makes an empty prompt.")
    return Prompt(text=text, has_bos=bool(bos) and text.startswith(bos))


@functools.lru_cache(maxsize=64)
def _compiled(source: str) -> ChatTemplate:
    return ChatTemplate(source)


@functools.cache
def _environment() -> Any:
    return make_environment()


def _token(model: Model, name: str) -> str:
    value = model.metadata.get(name, "")
    return value if isinstance(value, str) else ""


def _parts(content: str | None) -> list[dict[str, str]] | None:
    return None if content is None else [{"type": "text", "text": content}]


def _with_object(call: dict[str, Any]) -> dict[str, Any]:
    """Return the tool call with its arguments as an object, as templates expect."""
    function = call["function"]
    try:
        arguments = json.loads(function["arguments"])
    except (ValueError, RecursionError):
        return call
    if not isinstance(arguments, dict):
        return call
    return {**call, "function": {**function, "arguments": arguments}}
