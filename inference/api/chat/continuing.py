"""Decides whether the last message of a chat is answered or continued."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.api.errors import BadRequest
from inference.prompts.chat import can_continue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference.api.chat.request import ChatCompletionRequest
    from inference.prompts.messages import Message

_CONTINUE = "continue_final_message"
_ANSWER = "add_generation_prompt"


def continues(
    body: ChatCompletionRequest, messages: Sequence[Message], *, must_match: bool
) -> bool:
    """Return whether the last message is to be continued. Raises BadRequest.

    ``must_match`` says that a grammar holds for the answer: then it is an answer of its
    own, unless the request says otherwise.
    """
    answers = body.add_generation_prompt
    is_continued = body.continue_final_message
    if is_continued is None:
        is_answered = must_match if answers is None else answers
        is_continued = can_continue(messages) and not is_answered
    if is_continued and not can_continue(messages):
        raise BadRequest(
            f"'{_CONTINUE}' needs a last message of the assistant's, after others.",
            param=_CONTINUE,
        )
    if answers is not None and answers == is_continued:
        raise BadRequest(
            f"'{_ANSWER}' is the opposite of '{_CONTINUE}'; send one of them.",
            param=_ANSWER,
        )
    if is_continued and messages[-1].content and must_match:
        raise BadRequest(
            "An answer that has begun cannot be made to match anything: its beginning "
            f"is given. Leave out the last message, or send '{_CONTINUE}': false, or "
            "leave out what it is to match.",
            param=_CONTINUE,
        )
    return is_continued
