"""What conversations a chat template takes, found by rendering short ones.

Templates agree on the names of variables, but not on the order of roles, on whether
arguments are an object or JSON text, or on how many calls a message may have. Some
raise an exception, some leave out in silence what they do not know. So each question is
a short conversation whose texts must all be in the prompt, in their order. llama.cpp
asks in the same way: ``caps_get`` in common/jinja/caps.cpp.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from inference.prompts.message_form import CallShape, MessageForm
from inference.prompts.messages import Message

#: Renders messages and tools; returns None if the template fails.
Try = Callable[[list[dict[str, Any]], list[dict[str, Any]] | None], str | None]

#: The text of the user in a probe.
TEXT = "a-probe-of-the-template"
#: The thought of an answer in a probe.
THOUGHT = "a-thought-of-the-probe"
_ARGUMENT = "probed-argument"
_TOOL_NAMES = ("probe_of_tools", "probe_of_more_tools")
_TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": "describes",
            "parameters": {
                "type": "object",
                "properties": {_ARGUMENT: {"type": "string", "description": "named"}},
            },
        },
    }
    for name in _TOOL_NAMES
]
_LONG_ID = "call_of-a-probe_0123456789"


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a template takes. The default takes nothing but one text after the other.

    ``form``: how it is given messages. ``shows_users``: the user's text is in the
    prompt. ``takes_system``: a system message is, anywhere; ``takes_only_system``: also
    one without a user's. ``takes_later_system``: another one in its place among other
    messages. ``takes_repeated_users`` and ``takes_repeated_answers``: two in a row.
    ``takes_answer_first``: a conversation may begin with the assistant.
    ``takes_empty_answer``: an answer may have no text. ``takes_names``: the names of
    users are in the prompt.

    ``takes_tools``: the tools are in the prompt. ``needs_tools``: without tools, the
    template must get an empty list. ``takes_calls``: calls and results are in the
    prompt. ``takes_several_calls``: of one message; ``takes_calls_in_turn``: of one
    after the other, each with its result. ``takes_text_beside_calls``: before them, in
    one message; ``takes_text_before_calls``: in a message of its own.
    ``takes_user_after_result``: the user may speak right after a result.
    ``takes_results``: results are in the prompt after a call in plain text.
    ``takes_any_id``: ids of calls may have any form.
    """

    form: MessageForm = field(default_factory=MessageForm)
    shows_users: bool = False
    takes_system: bool = False
    takes_only_system: bool = False
    takes_later_system: bool = False
    takes_developer: bool = False
    takes_repeated_users: bool = False
    takes_repeated_answers: bool = False
    takes_answer_first: bool = False
    takes_empty_answer: bool = False
    takes_names: bool = False
    takes_tools: bool = False
    needs_tools: bool = False
    takes_calls: bool = False
    takes_several_calls: bool = False
    takes_calls_in_turn: bool = False
    takes_text_beside_calls: bool = False
    takes_text_before_calls: bool = False
    takes_user_after_result: bool = False
    takes_results: bool = False
    takes_any_id: bool = False


def probe(attempt: Try, *, has_tools: bool) -> Abilities:
    """Return what a template takes in requests that have tools, or in others."""
    tools: list[dict[str, Any]] | None = _TOOLS if has_tools else None
    user = [{"role": "user", "content": TEXT}]
    needs_tools = not has_tools and attempt(user, None) is None
    if needs_tools:
        tools = []
    form = MessageForm(wants_parts=_wants_parts(attempt, tools))
    shapes = _call_shapes(attempt, tools, form)
    form = replace(form, calls=shapes[0] if shapes else CallShape())

    def shown(*messages: Message) -> str:
        return attempt([form.of(each) for each in messages], tools) or ""

    def takes(*messages: Message) -> bool:
        return in_order(shown(*messages), marks_of(messages))

    system, developer = Message("system", "sys-1"), Message("developer", "dev-1")
    asked, again, more = _users("usr-1", "usr-2", "usr-3")
    said, also, last = _answers("ans-1", "ans-2", "ans-3")
    call, other = _call(0), _call(1)
    result, second = _result(0), _result(1)
    both = replace(call, tool_calls=call.tool_calls + other.tool_calls)
    text_call = replace(said, content=f"ans-1 {_ARGUMENT}")
    long_id = {**call.tool_calls[0], "id": _LONG_ID}
    long_call = replace(call, tool_calls=(long_id,))
    no_object = {"name": _TOOL_NAMES[0], "arguments": _ARGUMENT}
    odd_call = replace(
        call, tool_calls=({**call.tool_calls[0], "function": no_object},)
    )
    has_calls = bool(shapes)
    return Abilities(
        form=replace(form, takes_any_arguments=_ARGUMENT in shown(asked, odd_call)),
        shows_users=takes(asked),
        takes_system=all(mark in shown(system, asked) for mark in ("sys-1", "usr-1")),
        takes_only_system=takes(system),
        takes_later_system=takes(
            system, asked, said, Message("system", "sys-2"), again
        ),
        takes_developer="dev-1" in shown(developer, asked),
        takes_repeated_users=takes(asked, again, said, more),
        takes_repeated_answers=takes(asked, said, also, again),
        takes_answer_first=takes(said, asked),
        takes_empty_answer=takes(asked, replace(said, content=""), again),
        takes_names="name-1" in shown(replace(asked, name="name-1"), said, again),
        takes_tools=_TOOL_NAMES[0] in shown(asked),
        needs_tools=needs_tools,
        takes_calls=has_calls,
        takes_several_calls=has_calls and takes(asked, both, result, second),
        takes_calls_in_turn=has_calls
        and takes(asked, call, result, other, second, last, again),
        takes_text_beside_calls=has_calls
        and takes(asked, replace(call, content="ans-1"), result, also, again),
        takes_text_before_calls=has_calls
        and takes(asked, said, call, result, also, again),
        takes_user_after_result=has_calls and takes(asked, call, result, again),
        takes_results=takes(asked, text_call, result, also, again),
        takes_any_id=has_calls
        and takes(asked, long_call, replace(result, tool_call_id=_LONG_ID)),
    )


def in_order(text: str, marks: Sequence[str]) -> bool:
    """Return whether the marks are in the text, one after the other."""
    position = 0
    for mark in marks:
        found = text.find(mark, position)
        if found < 0:
            return False
        position = found + len(mark)
    return bool(marks)


def marks_of(messages: Sequence[Message]) -> list[str]:
    """Return the contents and the values of arguments, in their order."""
    marks = []
    for message in messages:
        if message.content:
            marks.append(message.content)
        for call in message.tool_calls:
            marks += json.loads(call["function"]["arguments"]).values()
    return marks


def _wants_parts(attempt: Try, tools: list[dict[str, Any]] | None) -> bool:
    """Return whether content must be a list of parts instead of text."""
    if TEXT in (attempt([{"role": "user", "content": TEXT}], tools) or ""):
        return False
    parts = [{"type": "text", "text": TEXT}]
    shown = attempt([{"role": "user", "content": parts}], tools) or ""
    # A template that expects text prints the list as Python does.
    return TEXT in shown and "'text'" not in shown


def _call_shapes(
    attempt: Try, tools: list[dict[str, Any]] | None, form: MessageForm
) -> list[CallShape]:
    """Return how calls get into the prompt, the best first; none if they do not."""
    shown = {}
    messages = (*_users(TEXT), _call(0), _result(0))
    for has_text, content in product((False, True), (None, "")):
        shape = CallShape(has_text, content)
        text = attempt([replace(form, calls=shape).of(m) for m in messages], tools)
        if text is not None and in_order(text, marks_of(messages)):
            shown[shape] = text
    # Arguments as Python prints them, or JSON within JSON, are better than none.
    fair = {shape: text for shape, text in shown.items() if not _is_garbled(text)}
    shown = fair or shown
    return sorted(shown, key=lambda shape: shown[shape].count("None"))


def _is_garbled(text: str) -> bool:
    return f"'{_ARGUMENT}'" in text or f'\\"{_ARGUMENT}' in text


def _users(*texts: str) -> list[Message]:
    return [Message("user", text) for text in texts]


def _answers(*texts: str) -> list[Message]:
    return [Message("assistant", text) for text in texts]


def _call(index: int) -> Message:
    call = {
        "id": _id(index),
        "type": "function",
        "function": {
            "name": _TOOL_NAMES[index],
            "arguments": json.dumps({_ARGUMENT: f"value-{index}"}),
        },
    }
    return Message("assistant", None, tool_calls=(call,))


def _result(index: int) -> Message:
    return Message(
        "tool", f"result-{index}", name=_TOOL_NAMES[index], tool_call_id=_id(index)
    )


def _id(index: int) -> str:
    # Mistral's templates reject ids that are not nine letters and digits.
    return f"callprob{index}"
