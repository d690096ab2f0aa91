"""What llama.cpp's chat templates make of the conversations that clients send."""

from __future__ import annotations

import itertools
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from inference.prompts.chat import prompt_render
from inference.prompts.messages import Message, Tool
from inference.prompts.rendering.errors import ChatTemplateError
from registry.models import Model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference.prompts.chat import Prompt

FOLDER = Path(__file__).parents[3] / "chat_templates"
TEMPLATES = sorted(path.stem for path in FOLDER.glob("*.jinja"))
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Its name."}},
    "required": ["city"],
}
TOOLS = (Tool("get_weather", "The weather.", CITY), Tool("get_time", "The time.", CITY))

#: Reads variables that only its own server sets.
UNUSABLE = {"fireworks-ai-llama-3-firefunction-v2"}


def system(text: str) -> Message:
    return Message("system", text)


def user(text: str) -> Message:
    return Message("user", text)


def answer(text: str) -> Message:
    return Message("assistant", text)


def calls(
    *cities: str, content: str | None = None, name: str = "get_weather"
) -> Message:
    """Return a message with a call for each city, the first of get_weather."""
    names = (name, "get_time", "get_weather")
    return Message(
        "assistant",
        content,
        tool_calls=tuple(
            {
                "id": f"call_{city}_0123456789abcdef",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps({"city": city})},
            }
            for name, city in zip(names, cities, strict=False)
        ),
    )


def result(city: str, text: str, name: str = "get_weather") -> Message:
    return Message(
        "tool", text, name=name, tool_call_id=f"call_{city}_0123456789abcdef"
    )


#: Histories, and their texts in the order in which the prompt must have them.
HISTORIES: dict[str, tuple[tuple[Message, ...], str]] = {
    "a system message first": (
        (system("Sys-one."), user("Ask-one."), answer("Say-one."), user("Ask-two.")),
        "Ask-one. Say-one. Ask-two.",
    ),
    "two system messages first": (
        (system("Sys-one."), Message("developer", "Sys-two."), user("Ask-one.")),
        "Ask-one.",
    ),
    "a developer's message": (
        (Message("developer", "Sys-one."), user("Ask-one.")),
        "Ask-one.",
    ),
    "a system message alone": ((system("Sys-one."),), "Sys-one."),
    "a system message in the middle": (
        (
            system("Sys-one."),
            user("Ask-one."),
            answer("Say-one."),
            system("Sys-mid."),
            user("Ask-two."),
        ),
        "Ask-one. Say-one. Sys-mid. Ask-two.",
    ),
    "a system message last": (
        (user("Ask-one."), answer("Say-one."), system("Sys-mid.")),
        "Ask-one. Say-one. Sys-mid.",
    ),
    "a system message after a user's": (
        (user("Ask-one."), Message("developer", "Sys-mid.")),
        "Ask-one. Sys-mid.",
    ),
    "two user messages in a row": (
        (user("Ask-one."), user("Ask-two."), answer("Say-one."), user("Ask-three.")),
        "Ask-one. Ask-two. Say-one. Ask-three.",
    ),
    "two answers in a row": (
        (user("Ask-one."), answer("Say-one."), answer("Say-two."), user("Ask-two.")),
        "Ask-one. Say-one. Say-two. Ask-two.",
    ),
    "an answer last": (
        (user("Ask-one."), answer("Say-one.")),
        "Ask-one. Say-one.",
    ),
    "an empty answer": (
        (user("Ask-one."), answer(""), user("Ask-two.")),
        "Ask-one. Ask-two.",
    ),
    "a call": (
        (user("Ask-one."), calls("Paris"), result("Paris", "Res-one.")),
        "Ask-one. Paris Res-one.",
    ),
    "text beside a call": (
        (
            user("Ask-one."),
            calls("Paris", content="Look-one."),
            result("Paris", "Res-one."),
            answer("Say-one."),
            user("Ask-two."),
        ),
        "Ask-one. Look-one. Paris Res-one. Say-one. Ask-two.",
    ),
    "text before a call": (
        (
            user("Ask-one."),
            answer("Look-one."),
            calls("Paris"),
            result("Paris", "Res-one."),
            answer("Say-one."),
            user("Ask-two."),
        ),
        "Ask-one. Look-one. Paris Res-one. Say-one. Ask-two.",
    ),
    "calls in turn": (
        (
            user("Ask-one."),
            calls("Paris"),
            result("Paris", "Res-one."),
            calls("Rome", name="get_time"),
            result("Rome", "Res-two.", name="get_time"),
            answer("Say-one."),
            user("Ask-two."),
        ),
        "Ask-one. Paris Res-one. Rome Res-two. Say-one. Ask-two.",
    ),
    "a user after a result": (
        (
            user("Ask-one."),
            calls("Paris"),
            result("Paris", "Res-one."),
            user("Ask-two."),
        ),
        "Ask-one. Paris Res-one. Ask-two.",
    ),
    "a system message after a result": (
        (
            system("Sys-one."),
            user("Ask-one."),
            calls("Paris"),
            result("Paris", "Res-one."),
            system("Sys-mid."),
        ),
        "Ask-one. Paris Res-one. Sys-mid.",
    ),
}
#: Several calls of one message, whose results come in another order.
PARALLEL = (
    user("Ask-one."),
    calls("Paris", "Rome", content="Look-one."),
    result("Rome", "Res-Rome.", name="get_time"),
    result("Paris", "Res-Paris."),
    answer("Say-one."),
    user("Ask-two."),
)


@cache
def model_of(template: str) -> Model:
    """Return a model with one of the templates."""
    return Model(
        name=template,
        chat_template=(FOLDER / f"{template}.jinja").read_text(),
        metadata={"bos_token": "<s>", "eos_token": "</s>"},
    )


def missing(prompt: str, texts: Sequence[str]) -> list[str]:
    """Return the texts that are not in the prompt after the ones before them."""
    lost = []
    position = 0
    for text in texts:
        found = prompt.find(text, position)
        if found < 0:
            lost.append(text)
        else:
            position = found
    return lost


def rendered(template: str, history: Sequence[Message], *, with_tools: bool) -> Prompt:
    """Return the prompt of a history."""
    return prompt_render(model_of(template), history, tools=TOOLS if with_tools else ())


def lost(template: str, name: str, *, with_tools: bool) -> list[str]:
    """Return the texts of a history that its prompt lacks, or has elsewhere."""
    history, texts = HISTORIES[name]
    prompt = rendered(template, history, with_tools=with_tools).text
    # Some templates have their own place for the first system message.
    leading = itertools.takewhile(lambda m: m.role in ("system", "developer"), history)
    gone = [str(m.content) for m in leading if str(m.content) not in prompt]
    return gone + missing(prompt, texts.split())


@pytest.mark.parametrize("with_tools", [False, True], ids=["plain", "tools"])
@pytest.mark.parametrize("template", [t for t in TEMPLATES if t not in UNUSABLE])
def test_every_text_of_a_history_is_in_the_prompt_in_its_order(
    template: str, with_tools: bool
) -> None:
    found = {name: lost(template, name, with_tools=with_tools) for name in HISTORIES}

    assert {name: texts for name, texts in found.items() if texts} == {}


@pytest.mark.parametrize("with_tools", [False, True], ids=["plain", "tools"])
@pytest.mark.parametrize("template", [t for t in TEMPLATES if t not in UNUSABLE])
def test_each_of_several_calls_is_in_the_prompt_with_its_result(
    template: str, with_tools: bool
) -> None:
    prompt = rendered(template, PARALLEL, with_tools=with_tools).text

    texts = "Ask-one. Look-one. {} Say-one. Ask-two."
    together = texts.format("Paris Rome Res-Paris. Res-Rome.").split()
    in_turn = texts.format("Paris Res-Paris. Rome Res-Rome.").split()
    assert [] in (missing(prompt, together), missing(prompt, in_turn))


@pytest.mark.parametrize("template", [t for t in TEMPLATES if t not in UNUSABLE])
def test_arguments_that_are_no_object_are_in_the_prompt(template: str) -> None:
    call = calls("Paris").tool_calls[0]

    for arguments in ("", "null", "[1, 77]", "not json 77", "77"):
        function = {**call["function"], "arguments": arguments}
        odd = Message("assistant", None, tool_calls=({**call, "function": function},))
        history = (user("Ask-one."), odd, result("Paris", "Res-one."))

        prompt = rendered(template, history, with_tools=True).text

        shown = ["77"] if "77" in arguments else []
        texts = ["Ask-one.", "get_weather", *shown, "Res-one."]
        assert missing(prompt, texts) == [], arguments


#: Templates of models whose conversations begin with the user.
USER_FIRST = {
    "google-gemma-2-2b-it",
    "Mistral-Small-3.2-24B-Instruct-2506",
    "mistralai-Ministral-3-14B-Reasoning-2512",
    "mistralai-Mistral-Nemo-Instruct-2407",
}


@pytest.mark.parametrize("template", [t for t in TEMPLATES if t not in UNUSABLE])
def test_a_conversation_that_begins_with_the_assistant_is_shown_or_refused(
    template: str,
) -> None:
    history = (answer("Say-one."), user("Ask-one."))
    if template in USER_FIRST:
        with pytest.raises(ChatTemplateError, match="begins with the assistant"):
            rendered(template, history, with_tools=False)
        return

    prompt = rendered(template, history, with_tools=False).text

    assert missing(prompt, ["Say-one.", "Ask-one."]) == []


def test_a_template_that_reads_variables_of_its_own_server_is_refused() -> None:
    for template in UNUSABLE:
        with pytest.raises(ChatTemplateError, match="'functions' is undefined"):
            rendered(template, (user("Ask-one."),), with_tools=True)
