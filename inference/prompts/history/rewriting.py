"""Makes a conversation into one that a chat template takes, without losing a text.

Each step changes one thing that the template does not take, and says so in a sentence.
What a template takes stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from inference.prompts.history.call_ids import with_ids_of
from inference.prompts.messages import SYSTEM, Message, joined
from inference.prompts.tools_as_text import with_calls_as_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inference.output_parsers import OutputParser
    from inference.prompts.abilities import Abilities

Messages = tuple[Message, ...]

_ONLY_CALLS = Message("assistant", None)


@dataclass(frozen=True, slots=True)
class Target:
    """What a conversation is made for: a template, and a model's way to write calls.

    ``calls_are_text``: the template must not get calls.
    """

    abilities: Abilities
    output_parser: OutputParser
    calls_are_text: bool = False


@dataclass(frozen=True, slots=True)
class History:
    """A conversation that a template takes; ``changes`` are sentences."""

    messages: Messages
    changes: tuple[str, ...] = ()


def fitted(messages: Sequence[Message], target: Target) -> History:
    """Return the conversation in the form that the template takes."""
    now = tuple(messages)
    changes = []
    for change, step in _STEPS:
        then = step(now, target)
        if then != now:
            changes.append(change)
        now = then
    return History(now, tuple(changes))


# Instructions -----------------------------------------------------------------------


def _system_for_developer(messages: Messages, target: Target) -> Messages:
    is_kept = target.abilities.takes_developer and messages[0].role == "developer"
    return tuple(
        replace(message, role="system")
        if message.role == "developer" and not (is_kept and index == 0)
        else message
        for index, message in enumerate(messages)
    )


def _one_system(messages: Messages, target: Target) -> Messages:
    leading = _leading(messages)
    if len(leading) < 2 or target.abilities.takes_later_system:
        return messages
    one = replace(leading[0], content=joined(*(each.content for each in leading)))
    return (one, *messages[len(leading) :])


def _system_as_user(messages: Messages, target: Target) -> Messages:
    leading = _leading(messages)
    abilities = target.abilities
    is_alone = len(leading) == len(messages)
    if abilities.takes_system and (abilities.takes_only_system or not is_alone):
        return messages
    return (*_before_user(leading, messages[len(leading) :]),)


def _later_system_as_user(messages: Messages, target: Target) -> Messages:
    first = len(_leading(messages))
    if target.abilities.takes_later_system:
        return messages
    found = list(messages[:first])
    waiting: list[Message] = []
    for message in messages[first:]:
        if message.role in SYSTEM:
            waiting.append(message)
            continue
        found += _before_user(waiting, (message,))
        waiting = []
    return (*found, *_before_user(waiting, ()))


def _before_user(system: Sequence[Message], rest: Messages) -> list[Message]:
    """Return instructions at the beginning of the user's message that follows.

    They are a user's message of their own if another one follows, or none.
    """
    if not system:
        return list(rest)
    text = joined(*(each.content for each in system))
    if rest and rest[0].role == "user":
        merged = replace(rest[0], content=joined(text, rest[0].content))
        return [merged, *rest[1:]]
    return [Message("user", text), *rest]


def _leading(messages: Messages) -> Messages:
    """Return the instructions at the beginning."""
    count = 0
    while count < len(messages) and messages[count].role in SYSTEM:
        count += 1
    return messages[:count]


# Calls ------------------------------------------------------------------------------


def _results_in_order(messages: Messages, target: Target) -> Messages:
    """Return results in the order of their calls: few templates show ids."""
    found: list[Message] = []
    places: dict[str, int] = {}
    first = 0
    for message in messages:
        if message.tool_calls:
            places = {call["id"]: i for i, call in enumerate(message.tool_calls)}
            first = len(found) + 1
        found.append(message)
        if message.role == "tool":
            found[first:] = sorted(
                found[first:], key=lambda each: places.get(each.tool_call_id or "", 0)
            )
    return tuple(found)


def _calls_as_text(messages: Messages, target: Target) -> Messages:
    if not any(each.tool_calls or each.role == "tool" for each in messages):
        return messages
    abilities = target.abilities
    can_be_calls = abilities.takes_calls and not target.calls_are_text
    is_taken = can_be_calls and all(
        is_taken or not any(map(is_there, pairwise(messages)))
        for is_there, is_taken in (
            (_is_user_after_result, abilities.takes_user_after_result),
            (
                _is_text_beside_calls,
                abilities.takes_text_beside_calls or abilities.takes_text_before_calls,
            ),
            (
                _is_text_before_calls,
                abilities.takes_text_beside_calls or abilities.takes_text_before_calls,
            ),
            (
                _is_several_calls,
                abilities.takes_several_calls or abilities.takes_calls_in_turn,
            ),
        )
    )
    if is_taken:
        return messages
    # A template that takes calls, but not in this order, is strict about results too.
    takes_results = abilities.takes_results and not can_be_calls
    return tuple(
        with_calls_as_text(
            messages,
            target.output_parser.framing,
            takes_results=takes_results and target.output_parser.name != "plain_json",
        )
    )


def _calls_in_turn(messages: Messages, target: Target) -> Messages:
    """Return each of several calls as a message of its own, with its result.

    The results are in the order of their calls.
    """
    if target.abilities.takes_several_calls:
        return messages
    found: list[Message] = []
    waiting: list[Message] = []
    for message in messages:
        if message.role == "tool" and waiting:
            found += [waiting.pop(0), message]
            continue
        found += waiting
        waiting = [
            replace(message if index == 0 else _ONLY_CALLS, tool_calls=(call,))
            for index, call in enumerate(message.tool_calls)
        ]
        if not waiting:
            found.append(message)
    return (*found, *waiting)


def _text_before_calls(messages: Messages, target: Target) -> Messages:
    if target.abilities.takes_text_beside_calls:
        return messages
    found = []
    for message in messages:
        if message.tool_calls and message.content:
            found.append(replace(message, tool_calls=()))
            found.append(replace(message, content=None, reasoning=None))
        else:
            found.append(message)
    return tuple(found)


def _text_beside_calls(messages: Messages, target: Target) -> Messages:
    if target.abilities.takes_text_before_calls:
        return messages
    return _merged(
        messages,
        lambda first, second: _is_text_before_calls((first, second)),
    )


def _is_user_after_result(pair: tuple[Message, Message]) -> bool:
    return pair[0].role == "tool" and pair[1].role == "user"


def _is_text_beside_calls(pair: tuple[Message, Message]) -> bool:
    return bool(pair[0].tool_calls and pair[0].content)


def _is_text_before_calls(pair: tuple[Message, Message]) -> bool:
    first, second = pair
    return (
        first.role == "assistant" and not first.tool_calls and bool(second.tool_calls)
    )


def _is_several_calls(pair: tuple[Message, Message]) -> bool:
    return len(pair[0].tool_calls) > 1


def _family_ids(messages: Messages, target: Target) -> Messages:
    abilities = target.abilities
    takes_any = abilities.takes_any_id or not abilities.takes_calls
    return with_ids_of(messages, target.output_parser.new_id, takes_any=takes_any)


# Two in a row -----------------------------------------------------------------------


def _one_user(messages: Messages, target: Target) -> Messages:
    if target.abilities.takes_repeated_users:
        return messages
    return _merged(messages, lambda first, second: first.role == second.role == "user")


def _no_empty_answers(messages: Messages, target: Target) -> Messages:
    if target.abilities.takes_empty_answer:
        return messages
    return tuple(
        message
        for message in messages
        if message.role != "assistant" or message.content or message.tool_calls
    )


def _one_answer(messages: Messages, target: Target) -> Messages:
    if target.abilities.takes_repeated_answers:
        return messages
    return _merged(
        messages,
        lambda first, second: (
            first.role == second.role == "assistant"
            and not first.tool_calls
            and not second.tool_calls
        ),
    )


def _merged(messages: Messages, belong: Callable[[Message, Message], bool]) -> Messages:
    """Return the conversation with neighbours that belong together as one message."""
    found: list[Message] = []
    for message in messages:
        if not (found and belong(found[-1], message)):
            found.append(message)
            continue
        first = found.pop()
        found.append(
            replace(
                message,
                content=joined(first.content, message.content),
                name=first.name or message.name,
                reasoning=joined(first.reasoning, message.reasoning) or None,
            )
        )
    return tuple(found)


#: The steps in their order, each with what it does in words; docs/api.md lists them.
_STEPS: tuple[tuple[str, Callable[[Messages, Target], Messages]], ...] = (
    ("Messages of the developer are system messages.", _system_for_developer),
    ("The system messages at the beginning are one.", _one_system),
    (
        "The system message is at the beginning of the first user message.",
        _system_as_user,
    ),
    (
        "Later system messages are at the beginning of the next user message.",
        _later_system_as_user,
    ),
    ("Results are in the order of their calls.", _results_in_order),
    ("Ids of calls have the form of the model family.", _family_ids),
    ("Calls and their results are text.", _calls_as_text),
    (
        "Each of several calls is a message of its own, with its result.",
        _calls_in_turn,
    ),
    ("Text beside calls is a message of its own.", _text_before_calls),
    ("Text before calls is in their message.", _text_beside_calls),
    ("Answers without text are left out.", _no_empty_answers),
    ("User messages in a row are one.", _one_user),
    ("Answers in a row are one.", _one_answer),
)
