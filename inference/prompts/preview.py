"""The prompt that a chat template renders, for the admin page to edit it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inference.errors import RequestRejected
from inference.prompts.chat import (
    can_continue,
    compiled,
    output_parser_of,
    prompt_render,
)
from inference.prompts.reasoning_effort import EFFORT
from inference.prompts.thoughts import reasons, with_marks_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference.output_parsers import OutputParser
    from inference.prompts.chat import Prompt
    from inference.prompts.messages import Message, Tool
    from inference.prompts.template import ChatTemplate
    from registry.models import Model

_WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
_QUESTION = {"role": "user", "content": "Is it sunny in Paris?"}
_CALL = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
_SYSTEM = {"role": "system", "content": "You answer in one sentence."}
#: Sample conversations by title, as bodies of the API.
SAMPLES: dict[str, dict[str, Any]] = {
    "A question": {"messages": [_QUESTION]},
    "With a system message": {"messages": [_SYSTEM, _QUESTION]},
    "With tools": {"messages": [_SYSTEM, _QUESTION], "tools": [_WEATHER]},
    "A call and its result": {
        "messages": [
            _QUESTION,
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "callparis", "type": "function", "function": _CALL}
                ],
            },
            {"role": "tool", "tool_call_id": "callparis", "content": "21 °C, clear"},
        ],
        "tools": [_WEATHER],
    },
    "Several turns": {
        "messages": [
            _QUESTION,
            {
                "role": "assistant",
                "content": "Yes.",
                "reasoning_content": "The sky is clear.",
            },
            {"role": "user", "content": "And in Rome?"},
        ]
    },
    "Out of order": {
        "messages": [
            _QUESTION,
            {"role": "assistant", "content": "Yes."},
            _SYSTEM,
            {"role": "user", "content": "And in Rome?"},
            {"role": "user", "content": "And tomorrow?"},
        ]
    },
}


@dataclass(frozen=True, slots=True)
class Preview:
    """A prompt or an error, and what was found out about the template.

    ``facts`` are pairs of a name and a value to show.
    """

    prompt: Prompt | None
    error: str
    facts: tuple[tuple[str, str], ...]


def with_overrides(model: Model, template: str, output_parser: str) -> Model:
    """Return an unsaved copy of the model with these settings."""
    changed = copy.copy(model)
    changed.template_override = template
    changed.output_parser_override = output_parser
    return changed


def preview(
    model: Model,
    messages: Sequence[Message],
    tools: Sequence[Tool],
    effort: str | None,
) -> Preview:
    """Return the prompt of a conversation, or the error. Raises nothing."""
    try:
        facts = _facts(model, has_tools=bool(tools))
        prompt = prompt_render(
            model,
            messages,
            tools=tools,
            effort=effort,
            continues=can_continue(messages),
        )
    except RequestRejected as error:
        return Preview(None, error.message, ())
    return Preview(prompt, "", (*facts, *_facts_of_prompt(prompt)))


def _facts(model: Model, *, has_tools: bool) -> tuple[tuple[str, str], ...]:
    source = model.template_in_force(is_for_tools=has_tools)
    template = compiled(source)
    output_parser = output_parser_of(model, source)
    detected = output_parser_of(with_overrides(model, "", ""), source)
    abilities = template.abilities(has_tools=has_tools)
    has_tools_in_template = (
        template.abilities(has_tools=True).takes_tools
        and output_parser.name != "plain_json"
    )
    return (
        ("Detected output parser", detected.name),
        ("Output parser in use", output_parser.name),
        (
            "System message",
            "in the prompt" if abilities.takes_system else "in the user's",
        ),
        (
            "Tools",
            "described by the template"
            if has_tools_in_template
            else "described in the system message",
        ),
        (
            "Tool results",
            "in the template's format"
            if abilities.takes_calls or abilities.takes_results
            else "as user messages",
        ),
        ("Reasoning", _reasoning(template, output_parser)),
        ("Variables", ", ".join(sorted(template.variables)) or "none"),
    )


def _facts_of_prompt(prompt: Prompt) -> tuple[tuple[str, str], ...]:
    where = "in reasoning" if prompt.starts_in_reasoning else "before the answer"
    facts = [("Changed", change) for change in prompt.changes]
    if EFFORT in prompt.left_out:
        facts.append(("Left out", "the thinking effort"))
    return (
        *facts,
        ("BOS", "from the template" if prompt.has_bos else "from the tokenizer"),
        ("Ends", where),
        ("Length", f"{len(prompt.text):,} characters"),
    )


def _reasoning(template: ChatTemplate, output_parser: OutputParser) -> str:
    spoken = with_marks_of(template, output_parser)
    if not reasons(template, spoken):
        return "unknown"
    marks = spoken.reasoning
    return f"between {marks.begin[0].strip()} and {marks.end[0]}"
