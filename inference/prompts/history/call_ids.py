"""Ids of calls in earlier messages, in the form that a model family knows."""

from __future__ import annotations

import hashlib
import re
import string
from dataclasses import replace
from typing import TYPE_CHECKING

from inference.output_parsers.ids import kimi_id, mistral_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inference.output_parsers.ids import NewId
    from inference.prompts.messages import Message

_LETTERS = string.ascii_letters + string.digits
_MISTRAL = re.compile(r"[a-zA-Z0-9]{9}")
_KIMI = re.compile(r"functions\.[\w-]+:\d+")


def with_ids_of(
    messages: Sequence[Message], new_id: NewId, *, takes_any: bool
) -> tuple[Message, ...]:
    """Return the conversation with ids in the form of the family's own.

    Mistral's are nine letters and digits, made of the given id, so that a conversation
    has the same ones in each request; so are those for a template that refuses other
    ids. Kimi's are the function's name and the number of the call in the conversation.
    """
    if new_id is kimi_id:
        if all(_KIMI.fullmatch(each) for each in _ids(messages)):
            return tuple(messages)
        return _renamed(messages, lambda call_id, name, number: kimi_id(name, number))
    if new_id is mistral_id or not takes_any:
        return _renamed(messages, lambda call_id, name, number: _nine(call_id))
    return tuple(messages)


def _ids(messages: Sequence[Message]) -> list[str]:
    return [call["id"] for message in messages for call in message.tool_calls]


def _renamed(
    messages: Sequence[Message], rename: Callable[[str, str, int], str]
) -> tuple[Message, ...]:
    """Return the conversation with other ids.

    Ids are unique among the calls of one message only, so results belong to the last
    message with calls.
    """
    renamed: list[Message] = []
    number = 0
    new_ids: dict[str, str] = {}
    for message in messages:
        if message.tool_calls:
            calls = []
            for call in message.tool_calls:
                new = rename(call["id"], call["function"]["name"], number)
                new_ids[call["id"]] = new
                calls.append({**call, "id": new})
                number += 1
            renamed.append(replace(message, tool_calls=tuple(calls)))
        elif message.tool_call_id is not None:
            new = new_ids.get(message.tool_call_id, message.tool_call_id)
            renamed.append(replace(message, tool_call_id=new))
        else:
            renamed.append(message)
    return tuple(renamed)


def _nine(call_id: str) -> str:
    """Return the id if it has nine letters and digits, else nine made of its hash."""
    if _MISTRAL.fullmatch(call_id):
        return call_id
    digest = int.from_bytes(hashlib.sha256(call_id.encode("utf-8", "replace")).digest())
    short = ""
    for _ in range(9):
        digest, place = divmod(digest, len(_LETTERS))
        short += _LETTERS[place]
    return short
