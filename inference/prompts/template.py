"""A chat template: compiled once, probed once, rendered in a sandbox."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from inference.prompts.abilities import TEXT, THOUGHT, Abilities, probe
from inference.prompts.message_form import with_responses
from inference.prompts.messages import Message
from inference.prompts.rendering.errors import ChatTemplateError, ChatTemplateStopped
from inference.prompts.rendering.pool import render_pool

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from inference.prompts.messages import Tool

_MAX_SOURCE_CHARS = 256 * 1024
_MAX_PROBE_CHARS = 1024 * 1024
_NO_TOKENS = {"bos_token": "", "eos_token": ""}


class ChatTemplate:
    """A compiled chat template, and what it supports.

    What it takes is found by probing (abilities.py) when it is first asked.
    """

    def __init__(self, source: str) -> None:
        """Compile. Raises ChatTemplateError."""
        if len(source) > _MAX_SOURCE_CHARS:
            raise ChatTemplateError("The model's chat template is too long.")
        self._source = source
        # A later template of the family has this member too, and finds results itself.
        self._wants_responses = (
            "message['tool_responses']" in source and "tool_call_id" not in source
        )
        #: The variables that the template reads but does not set.
        self.variables = render_pool().variables(source)

    @property
    def max_preamble_chars(self) -> int:
        """The most characters of a prompt that can come from the template itself."""
        return _MAX_SOURCE_CHARS

    def abilities(self, *, has_tools: bool) -> Abilities:
        """Return what the template takes in requests that have tools, or in others.

        The first call renders some twenty short conversations.
        """
        return self._with_tools if has_tools else self._without_tools

    @cached_property
    def _with_tools(self) -> Abilities:
        return self._probed(has_tools=True)

    @cached_property
    def _without_tools(self) -> Abilities:
        return self._probed(has_tools=False)

    def _probed(self, *, has_tools: bool) -> Abilities:
        found = probe(self._try, has_tools=has_tools)
        # Templates that print any role know no developer.
        knows_developer = found.takes_developer and self.mentions(["developer"])
        return replace(found, takes_developer=knows_developer)

    def check(self) -> None:
        """Raise ChatTemplateError unless the prompt contains a user's message."""
        said = Message("user", TEXT)
        text = self.render([said], _NO_TOKENS, max_chars=_MAX_PROBE_CHARS)
        if TEXT not in text:
            raise ChatTemplateError("The template does not render the user's messages.")

    @property
    def source(self) -> str:
        """The template's text."""
        return self._source

    @cached_property
    def shown_thought(self) -> str:
        """A conversation with a thought in an earlier answer, as far as it is shown."""
        form = self.abilities(has_tools=False).form
        said = Message("assistant", TEXT, reasoning=THOUGHT)
        messages = [form.of(each) for each in (Message("user", TEXT), said)]
        return self._try(messages, None) or self._try(messages, []) or ""

    def takes(self, variables: Mapping[str, Any]) -> bool:
        """Return whether the template renders a message with these variables."""
        form = self.abilities(has_tools=False).form
        said = [form.of(Message("user", TEXT))]
        try:
            self._render(said, [], {**_NO_TOKENS, **variables}, _MAX_PROBE_CHARS)
        except ChatTemplateStopped:
            raise
        except ChatTemplateError:
            return False
        return True

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
        abilities = self.abilities(has_tools=bool(tools))
        described = [
            {"type": "function", "function": each.function()} for each in tools
        ]
        return self._render(
            [abilities.form.of(message) for message in messages],
            described if described or abilities.needs_tools else None,
            variables,
            max_chars,
        )

    def _render(
        self,
        messages: list[dict[str, Any]],
        tools: list[dict[str, Any]] | None,
        variables: Mapping[str, Any],
        max_chars: int,
    ) -> str:
        context = {
            "add_generation_prompt": True,
            "documents": None,
            **variables,
            "messages": (
                with_responses(messages) if self._wants_responses else messages
            ),
            "tools": tools,
        }
        return render_pool().render(self._source, context, max_chars)

    def _try(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None
    ) -> str | None:
        try:
            return self._render(messages, tools, _NO_TOKENS, _MAX_PROBE_CHARS)
        except ChatTemplateStopped:
            # Nothing is known of the template then.
            raise
        except ChatTemplateError:
            return None
