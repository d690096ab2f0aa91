"""Renders a conversation in a form that its template takes, and checks the prompt."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from inference.prompts.abilities import Abilities
from inference.prompts.history.rewriting import History, Target, fitted
from inference.prompts.history.shown import seems_whole, shows_all
from inference.prompts.messages import SYSTEM
from inference.prompts.rendering.errors import ChatTemplateError, ChatTemplateStopped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inference.prompts.messages import Message, Tool
    from inference.prompts.template import ChatTemplate


@dataclass(frozen=True, slots=True)
class Rendering:
    """A template with the variables and the tools of one request."""

    template: ChatTemplate
    variables: Mapping[str, Any]
    tools: tuple[Tool, ...]

    def of(self, messages: Sequence[Message], target: Target) -> tuple[str, History]:
        """Return the prompt, and the conversation as the template got it.

        A conversation that the template rejects or shows in part is tried once more in
        the form that every template takes: users and assistants by turns. Raises
        ChatTemplateError.
        """
        history = fitted(messages, target)
        try:
            text = self.text(history.messages)
            if self._is_whole(text, history.messages, target.abilities):
                return text, history
            refusal = ChatTemplateError(
                "The model's chat template leaves out a text of this conversation."
            )
        except ChatTemplateStopped:
            raise
        except ChatTemplateError as error:
            refusal = _in_words_of(error, history, target.abilities)
        plainest = Abilities(form=target.abilities.form)
        by_turns = fitted(messages, replace(target, abilities=plainest))
        if not shows_all(self.attempt, by_turns.messages):
            raise refusal
        return self.text(by_turns.messages), by_turns

    def text(self, messages: Sequence[Message]) -> str:
        """Return the prompt of messages as they are. Raises ChatTemplateError."""
        return self.template.render(
            messages,
            self.variables,
            max_chars=self._max_chars(messages),
            tools=self.tools,
        )

    def attempt(self, messages: Sequence[Message]) -> str | None:
        """Return the prompt of messages as they are, None if the template fails."""
        try:
            return self.text(messages)
        except ChatTemplateStopped:
            raise
        except ChatTemplateError:
            return None

    def _is_whole(
        self, text: str, messages: Sequence[Message], abilities: Abilities
    ) -> bool:
        return (
            # Of a template that does not show a single question nothing can be asked.
            not abilities.shows_users
            or seems_whole(text, messages)
            or shows_all(self.attempt, messages)
        )

    def _max_chars(self, messages: Sequence[Message]) -> int:
        """Return the longest text that the template may render from these.

        That allows for text around each message, and for schemas with indentation.
        """
        size = sum(message.size_bytes for message in messages)
        schemas = sum(len(json.dumps(tool.function())) for tool in self.tools)
        each = 4096 * (len(messages) + len(self.tools))
        return 4 * size + 8 * schemas + each + self.template.max_preamble_chars


def _in_words_of(
    error: ChatTemplateError, history: History, abilities: Abilities
) -> ChatTemplateError:
    """Return the error, or one that says what the template does not take at all."""
    others = [each for each in history.messages if each.role not in SYSTEM]
    if not others or others[0].role != "assistant" or abilities.takes_answer_first:
        return error
    return ChatTemplateError(
        "The model's chat template takes no conversation that begins with the "
        "assistant. Send a message of the user before it."
    )
