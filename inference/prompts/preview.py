"""What a chat template makes of a conversation, for whoever edits it."""

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
from inference.prompts.effort import reasons

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference.prompts.chat import Prompt
    from inference.prompts.messages import Message, Tool
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
#: Conversations to begin with, in the words of the API, by what they are of.
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
}


@dataclass(frozen=True, slots=True)
class Preview:
    """What there is to see: a prompt, or the ``error`` that there is in its place.

    ``facts`` are what was found out about the template, as pairs to show.
    """

    prompt: Prompt | None
    error: str
    facts: tuple[tuple[str, str], ...]


def with_overrides(model: Model, template: str, output_parser: str) -> Model:
    """Return a copy of the model with these settings, which is not saved."""
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
    """Return what the model's template makes of a conversation. Raises nothing."""
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
    is_told = template.takes_tools and output_parser.name != "plain_json"
    return (
        ("Detected output parser", detected.name),
        ("Output parser in use", output_parser.name),
        ("System message", "heard" if template.takes_system else "not heard"),
        ("Tools", "told by the template" if is_told else "told in words of our own"),
        (
            "Tool results",
            "told by the template" if template.takes_results else "told as a user's",
        ),
        ("Reasoning", "known" if reasons(template, output_parser) else "not known"),
        ("Variables", ", ".join(sorted(template.variables)) or "none"),
    )


def _facts_of_prompt(prompt: Prompt) -> tuple[tuple[str, str], ...]:
    where = "in a thought" if prompt.starts_in_reasoning else "where an answer begins"
    return (
        ("BOS", "from the template" if prompt.has_bos else "from the tokenizer"),
        ("Ends", where),
        ("Length", f"{len(prompt.text):,} characters"),
    )
