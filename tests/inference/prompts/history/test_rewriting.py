"""Conversations are made into what a template takes, and lose nothing."""

from __future__ import annotations

import json
from dataclasses import fields
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.output_parsers.families import OUTPUT_PARSERS
from inference.prompts.abilities import Abilities
from inference.prompts.chat import prompt_render
from inference.prompts.history.call_ids import with_ids_of
from inference.prompts.history.rewriting import Target, fitted
from inference.prompts.messages import Message, Tool
from inference.prompts.rendering.errors import ChatTemplateError
from registry.models import Model

FLAGS = [each.name for each in fields(Abilities) if each.type == "bool"]


def call(call_id: str, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def histories() -> st.SearchStrategy[tuple[Message, ...]]:
    """Return conversations of any order, in which each call has its result."""

    def numbered(kinds: list[tuple[str, int, bool]]) -> tuple[Message, ...]:
        messages = []
        for number, (kind, count, has_text) in enumerate(kinds):
            text = f"text-{number}-"
            if kind != "calls":
                messages.append(Message(kind, text))
                continue
            ids = [f"call-{number}-{i}" for i in range(count)]
            calls = tuple(
                call(each, arguments=json.dumps({"a": f"value-{each}-"}))
                for each in ids
            )
            content = text if has_text else None
            messages.append(Message("assistant", content, tool_calls=calls))
            messages += [
                Message("tool", f"result-{each}-", name="f", tool_call_id=each)
                for each in (reversed(ids) if has_text else ids)
            ]
        return tuple(messages)

    kind = st.sampled_from(["system", "developer", "user", "assistant", "calls"])
    message = st.tuples(kind, st.integers(1, 3), st.booleans())
    return st.lists(message, min_size=1, max_size=8).map(numbered)


def texts_of(messages: tuple[Message, ...]) -> str:
    """Return all texts; results are in the order of their calls."""
    return " ".join(
        " ".join(
            [
                message.content or "",
                *(each["function"]["arguments"] for each in message.tool_calls),
            ]
        )
        for message in messages
    )


@given(histories(), st.sets(st.sampled_from(FLAGS)), st.booleans())
def test_no_text_is_lost_or_said_twice_whatever_a_template_takes(
    messages: tuple[Message, ...], flags: set[str], calls_are_text: bool
) -> None:
    abilities = Abilities(**dict.fromkeys(flags, True))  # type: ignore[arg-type]
    target = Target(abilities, OUTPUT_PARSERS["hermes"], calls_are_text)

    shown = texts_of(fitted(messages, target).messages)

    said = [m.content for m in messages if m.content]
    said += [
        json.loads(each["function"]["arguments"])["a"]
        for m in messages
        for each in m.tool_calls
    ]
    assert {text: shown.count(text) for text in said} == dict.fromkeys(said, 1)
    # Contents of the conversation itself stay in their order.
    spoken = [
        m.content for m in messages if m.content and m.role in ("user", "assistant")
    ]
    assert sorted(spoken, key=shown.index) == spoken


@given(histories())
def test_the_plainest_form_takes_turns_between_users_and_assistants(
    messages: tuple[Message, ...],
) -> None:
    target = Target(Abilities(), OUTPUT_PARSERS["hermes"])

    roles = [each.role for each in fitted(messages, target).messages]

    assert set(roles) <= {"user", "assistant"}
    assert all(first != second for first, second in pairwise(roles))


@given(histories())
def test_a_template_that_takes_everything_gets_what_was_sent(
    messages: tuple[Message, ...],
) -> None:
    everything = Abilities(**dict.fromkeys(FLAGS, True))  # type: ignore[arg-type]
    target = Target(everything, OUTPUT_PARSERS["hermes"])
    ordered = [m for m in messages if m.role not in ("developer", "tool")]

    found = fitted(messages, target).messages

    assert [m for m in found if m in ordered] == ordered


# Ids -------------------------------------------------------------------------------


def ids_of(messages: tuple[Message, ...]) -> list[str | None]:
    return [m.tool_call_id or m.tool_calls[0]["id"] for m in messages]


def turn(call_id: str, name: str = "f") -> tuple[Message, Message]:
    return (
        Message("assistant", None, tool_calls=(call(call_id, name),)),
        Message("tool", "ok", name=name, tool_call_id=call_id),
    )


def test_mistral_gets_nine_letters_and_digits_the_same_in_each_request() -> None:
    new_id = OUTPUT_PARSERS["mistral"].new_id
    once = with_ids_of(turn("call_PTLP8xhu3uwZk4l3"), new_id, takes_any=True)
    again = with_ids_of(
        (*turn("call_PTLP8xhu3uwZk4l3"), *turn("other")), new_id, takes_any=True
    )

    first, result = ids_of(once)
    assert first == result
    assert first is not None
    assert len(first) == 9
    assert first.isalnum()
    assert ids_of(again)[:2] == [first, result]
    assert ids_of(again)[2] != first
    assert ids_of(with_ids_of(turn("abcDEF123"), new_id, takes_any=True)) == (
        ["abcDEF123"] * 2
    )


def test_kimi_gets_the_function_and_the_number_of_the_call() -> None:
    new_id = OUTPUT_PARSERS["kimi_k2"].new_id
    history = (*turn("call_0", "look"), *turn("call_0", "find"))
    own = (*turn("functions.look:3", "look"),)

    assert ids_of(with_ids_of(history, new_id, takes_any=True)) == (
        ["functions.look:0"] * 2 + ["functions.find:1"] * 2
    )
    assert ids_of(with_ids_of(own, new_id, takes_any=True)) == ["functions.look:3"] * 2


# Templates -------------------------------------------------------------------------

CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS = (Tool("get_weather", "", CITY), Tool("now"))
ALTERNATES = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "[{{ m.role }} {{ m.content }}]{% endfor %}"
)
PLAIN = "{% for m in messages %}[{{ m.role }} {{ m.content }}]{% endfor %}"
TOOL_USE = (
    "{% for t in tools %}{{ t.function.name }}{% endfor %}{# <tool_call> #}"
    "{% for m in messages %}[{{ m.role }} {{ m.content }}{% for c in m.tool_calls %}"
    "{{ c.function.arguments | tojson }}{% endfor %}]{% endfor %}"
)


def prompt_of(source: str, *messages: Message, tool_use: str = "") -> str:
    model = Model(
        name="m",
        chat_template=source,
        metadata={"tokenizer.chat_template.tool_use": tool_use},
    )
    return prompt_render(model, messages).text


def test_a_system_message_goes_before_the_users_where_the_template_has_none() -> None:
    refuses = "{% if messages[0].role == 'system' %}{{ raise_exception('none') }}"
    ignores = PLAIN.replace("messages", "messages | rejectattr('role', 'eq', 'system')")

    for source in (refuses + "{% endif %}" + PLAIN, ignores, ALTERNATES):
        prompt = prompt_of(source, Message("system", "Be kind."), Message("user", "Hi"))
        assert prompt == "[user Be kind.\n\nHi]"


def test_messages_in_a_row_are_joined_where_roles_must_alternate() -> None:
    prompt = prompt_of(
        ALTERNATES,
        Message("user", "A"),
        Message("user", "B"),
        Message("assistant", "C"),
        Message("system", "D"),
        Message("user", "E"),
    )

    assert prompt == "[user A\n\nB][assistant C][user D\n\nE]"


def test_a_template_for_tools_that_needs_tools_is_not_used_without_them() -> None:
    history = (
        Message("user", "Hi"),
        Message("assistant", None, tool_calls=(call("c", "now", '{"a": 1}'),)),
        Message("tool", "noon", name="now", tool_call_id="c"),
        Message("user", "Give this chat a title."),
    )

    prompt = prompt_of(PLAIN, *history, tool_use=TOOL_USE)

    assert prompt == (
        '[user Hi][assistant <tool_call>\n{"name": "now", "arguments": {"a": 1}}\n'
        "</tool_call>][tool noon][user Give this chat a title.]"
    )
    alone = prompt_of(TOOL_USE, *history[:1])
    assert alone == "[user Hi]"


def test_a_template_for_tools_in_an_unknown_format_is_not_used() -> None:
    model = Model(
        name="m",
        chat_template=PLAIN,
        metadata={
            "tokenizer.chat_template.tool_use": TOOL_USE.replace("<tool_call>", "")
            + "Write 'Action:'"
        },
    )

    prompt = prompt_render(model, (Message("user", "Hi"),), tools=TOOLS)

    assert prompt.output_parser.name == "plain_json"
    assert "Action:" not in prompt.text
    assert "get_weather" in prompt.text


def test_a_text_that_a_template_drops_in_every_form_is_refused() -> None:
    source = (
        "{% for m in messages %}{% if loop.index0 != 3 %}{{ m.content }}{% endif %}"
        "{% endfor %}"
    )
    turns = [Message("user", "A"), Message("assistant", "B")] * 2

    with pytest.raises(ChatTemplateError, match="leaves out a text"):
        prompt_of(source, *turns, Message("user", "C"))


def test_a_template_that_changes_texts_shows_them_still() -> None:
    source = (
        "{% for m in messages %}[{{ m.content.split('</think>')[-1] | upper }}]"
        "{% endfor %}"
    )

    prompt = prompt_of(
        source,
        Message("user", "a"),
        Message("assistant", "<think>x</think>b"),
        Message("user", "c"),
    )

    assert prompt == "[A][B][C]"
