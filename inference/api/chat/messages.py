"""The messages of a chat request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from django.conf import settings

from inference.api.declarations import unsupported as compatibility
from inference.api.declarations.fields import (
    Choice,
    Field,
    ListOf,
    Text,
    wrong_type,
)
from inference.api.declarations.records import Record, missing
from inference.api.errors import InvalidRequest, quote
from inference.api.parameters.structured_output import Name
from inference.api.text_limits import check_sizes
from inference.prompts.messages import Message

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = Text(min_length=1, max_length=256)
#: OpenAI joins nothing: it sees parts. What a template sees is one text.
_PART_SEPARATOR = "\n"
_MAX_PARTS = 1024


@dataclass(frozen=True, slots=True)
class Content:
    """The text of a message: a string, or an array of parts of type text.

    An assistant's may have refused: then the refusal is what was said.
    """

    has_refusals: bool = False

    def parse(self, value: Any, path: str) -> str:
        """Return the text. Raises InvalidRequest."""
        if isinstance(value, str):
            return Text().parse(value, path)
        if not isinstance(value, list):
            raise wrong_type(path, "a string or an array of content parts", value)
        if not 1 <= len(value) <= _MAX_PARTS:
            raise InvalidRequest(
                f"Invalid value for '{path}': it must have from 1 to {_MAX_PARTS} "
                "parts.",
                param=path,
            )
        return _PART_SEPARATOR.join(
            _part_text(part, f"{path}[{index}]", has_refusals=self.has_refusals)
            for index, part in enumerate(value)
        )

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        parts = {
            "type": "array",
            "minItems": 1,
            "maxItems": _MAX_PARTS,
            "items": _PART.schema(),
        }
        if self.has_refusals:
            parts["items"] = {"oneOf": [_PART.schema(), _REFUSAL.schema()]}
        return {"oneOf": [{"type": "string"}, parts]}


_PART = Record({"type": Choice(("text",)), "text": Text()}, ("type", "text"))
_REFUSAL = Record(
    {"type": Choice(("refusal",)), "refusal": Text()}, ("type", "refusal")
)


def _part_text(part: Any, path: str, *, has_refusals: bool) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    text: str
    if kind == "refusal" and has_refusals:
        text = _REFUSAL.parse(part, path)["refusal"]
        return text
    if kind in compatibility.CONTENT_PARTS:
        raise InvalidRequest(
            f"Unsupported content: '{path}' is of type '{kind}', and only text is "
            "served here.",
            param=f"{path}.type",
            code="unsupported_parameter",
        )
    text = _PART.parse(part, path)["text"]
    return text


_FUNCTION = Record({"name": Name(), "arguments": Text()}, ("name", "arguments"))
_TOOL_CALL = Record(
    {"id": _NAME, "type": Choice(("function",)), "function": _FUNCTION},
    ("id", "type", "function"),
)


def _role(role: str, *required: str, **members: Field) -> Record:
    return Record(
        {"role": Choice((role,)), "content": Content(), "name": _NAME, **members},
        ("role", *required),
        compatibility.ASSISTANT_MESSAGE if role == "assistant" else {},
    )


_ROLES = {
    "system": _role("system", "content"),
    "developer": _role("developer", "content"),
    "user": _role("user", "content"),
    # Content, a refusal or tool_calls: checked beyond the record.
    "assistant": _role(
        "assistant",
        content=Content(has_refusals=True),
        tool_calls=ListOf(_TOOL_CALL, 1, 128),
        refusal=Text(),
        reasoning_content=Text(),
    ),
    "tool": _role("tool", "content", "tool_call_id", tool_call_id=_NAME),
}


@dataclass(frozen=True, slots=True)
class Messages:
    """The conversation: an array of messages, within the configured limits."""

    def parse(self, value: Any, path: str) -> tuple[Message, ...]:
        """Return the messages. Raises InvalidRequest."""
        if not isinstance(value, list):
            raise wrong_type(path, "an array of messages", value)
        if not value:
            raise InvalidRequest(
                f"Invalid value for '{path}': it must have at least one message.",
                param=path,
            )
        limit = settings.CONFIG.limits.max_messages
        if len(value) > limit:
            raise InvalidRequest(
                f"Too many messages: {len(value)}, and at most {limit} are allowed.",
                param=path,
                code="too_many_messages",
            )
        messages = tuple(
            _parse_message(item, f"{path}[{index}]") for index, item in enumerate(value)
        )
        sizes = [message.size_bytes for message in messages]
        check_sizes({f"{path}[{i}]": size for i, size in enumerate(sizes)}, path)
        return _answered(messages, path)

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        return {
            "type": "array",
            "minItems": 1,
            "maxItems": settings.CONFIG.limits.max_messages,
            "items": {"oneOf": [record.schema() for record in _ROLES.values()]},
        }


def _parse_message(value: Any, path: str) -> Message:
    if not isinstance(value, dict):
        raise wrong_type(path, "an object", value)
    role = value.get("role")
    if role is None:
        raise missing(f"{path}.role")
    if not isinstance(role, str):
        raise wrong_type(f"{path}.role", "a string", role)
    if role in compatibility.ROLES:
        raise InvalidRequest(
            f"Unsupported value: '{path}.role' is '{role}', which is not served here."
            f"{compatibility.ROLES[role]}",
            param=f"{path}.role",
            code="unsupported_parameter",
        )
    if role not in _ROLES:
        raise InvalidRequest(
            f"Invalid value for '{path}.role': '{quote(role)}' is none of "
            f"{', '.join(_ROLES)}.",
            param=f"{path}.role",
        )
    members = _ROLES[role].parse(value, path)
    content = members.get("content")
    if "refusal" in members:
        if content:
            raise InvalidRequest(
                f"'{path}' has content and a refusal; an answer has one of them.",
                param=f"{path}.refusal",
            )
        content = members["refusal"]
    if content is None and "tool_calls" not in members:
        raise missing(f"{path}.content")
    return Message(
        role=role,
        content=content,
        name=members.get("name"),
        tool_call_id=members.get("tool_call_id"),
        tool_calls=tuple(members.get("tool_calls", ())),
        reasoning=members.get("reasoning_content"),
    )


def _answered(messages: tuple[Message, ...], path: str) -> tuple[Message, ...]:
    """Return the messages, each tool's with the name of the function.

    Every call is answered by a tool's message before anything else is said, and
    nothing else is answered. Raises InvalidRequest.
    """
    named = []
    calls: dict[str, str] = {}
    caller = ""
    for index, message in enumerate(messages):
        where = f"{path}[{index}]"
        if message.role == "tool":
            call_id = message.tool_call_id or ""
            if call_id not in calls:
                raise InvalidRequest(
                    f"'{where}.tool_call_id' is '{quote(call_id)}', and the assistant "
                    "has no call of this id right before it that is not answered yet.",
                    param=f"{where}.tool_call_id",
                )
            function = calls.pop(call_id)
            named.append(replace(message, name=message.name or function))
            continue
        _check_all_answered(calls, caller)
        caller = f"{where}.tool_calls"
        calls = {call["id"]: call["function"]["name"] for call in message.tool_calls}
        if len(calls) < len(message.tool_calls):
            raise InvalidRequest(
                f"Two calls of '{caller}' have the same id.", param=caller
            )
        named.append(message)
    _check_all_answered(calls, caller)
    return tuple(named)


def _check_all_answered(calls: Mapping[str, str], path: str) -> None:
    if calls:
        ids = ", ".join(quote(call_id) for call_id in calls)
        raise InvalidRequest(
            f"Each call of '{path}' must be answered by a message of role 'tool' with "
            f"its 'tool_call_id' before anything else is said. Not answered: {ids}.",
            param=path,
        )
