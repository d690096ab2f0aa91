"""Why a template gives no prompt."""

from __future__ import annotations

from inference.errors import RequestRejected


class ChatTemplateError(RequestRejected):
    """The template cannot be used, or rejects the conversation."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="chat_template_error", param="messages")


class ChatTemplateStopped(ChatTemplateError):
    """The template takes too much, now or when it was last tried.

    It says nothing about the conversation.
    """
