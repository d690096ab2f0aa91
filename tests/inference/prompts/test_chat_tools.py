"""What templates expect of tools and calls, and how they get it."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference.output_parsers.families import OUTPUT_PARSERS
from inference.prompts.chat import prompt_render
from inference.prompts.message_form import CallShape
from inference.prompts.messages import Message, Tool
from inference.prompts.template import ChatTemplate
from registry.models import Model

CHAT_TEMPLATES = Path(__file__).parents[2] / "chat_templates"
CALL = {
    "id": "call00001",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Paris"}'},
}
CONVERSATION = (
    Message("user", "Hi"),
    Message("assistant", "", tool_calls=(CALL,)),
    Message("tool", "sunny", name="weather", tool_call_id="call00001"),
)
WEATHER = Tool("weather", "Tells it.")


def shows(arguments: str, before: str = "", content: str = "m.content or ''") -> str:
    """Return a template of which a part is the question."""
    return (
        f"{before}{{% for m in messages %}}{{{{ {content} }}}}"
        "{% for c in m.tool_calls %}<tool_call>{{ c.function.name }}"
        f"{{{{ {arguments} }}}}{{% endfor %}}{{% endfor %}}"
    )


PLAIN = "c.function.arguments"


@pytest.mark.parametrize(
    ("source", "shape", "prompt"),
    [
        (
            shows(f"{PLAIN} | tojson"),
            CallShape(),
            'Hi<tool_call>weather{"city": "Paris"}sunny',
        ),
        (
            shows(f"'' + {PLAIN}"),
            CallShape(has_text=True),
            'Hi<tool_call>weather{"city": "Paris"}sunny',
        ),
        (
            shows(f"{PLAIN} if {PLAIN} is string else {PLAIN} | tojson"),
            CallShape(),
            'Hi<tool_call>weather{"city": "Paris"}sunny',
        ),
        (
            shows(f"{PLAIN} | tojson", content="m.content"),
            CallShape(content=""),
            'Hi<tool_call>weather{"city": "Paris"}sunny',
        ),
        (
            shows(f"{PLAIN} | tojson", content="m.content.strip()"),
            CallShape(content=""),
            'Hi<tool_call>weather{"city": "Paris"}sunny',
        ),
        (
            # As DeepSeek R1 has it: calls only where the content is none.
            shows(f"{PLAIN} if m.content is none else ''"),
            CallShape(has_text=True),
            'Hi<tool_call>weather{"city": "Paris"}sunny',
        ),
        (
            # Python's spelling is better than nothing.
            shows(f"{PLAIN}.items() | list"),
            CallShape(),
            "Hi<tool_call>weather[('city', 'Paris')]sunny",
        ),
        (
            "{% for m in messages %}[{{ m.role }} {{ m.content }}]{% endfor %}",
            None,
            '[user Hi][assistant {"name": "weather", "arguments": {"city": "Paris"}}]'
            "[user Result of weather: sunny]",
        ),
        (
            "{# [TOOL_CALLS] #}{% for m in messages %}[{{ m.content }}]{% endfor %}",
            None,
            '[Hi][[TOOL_CALLS][{"name": "weather", "arguments": {"city": "Paris"}}]]'
            "[sunny]",
        ),
    ],
)
def test_calls_are_written_as_the_template_shows_them(
    source: str, shape: CallShape | None, prompt: str
) -> None:
    model = Model(name="m", chat_template=source)

    found = ChatTemplate(source).abilities(has_tools=False)
    assert (found.form.calls if found.takes_calls else None) == shape
    assert prompt_render(model, CONVERSATION).text == prompt


SHOWS_TOOLS = "{% for t in tools or [] %}{{ t.function.name }}{% endfor %}"
REFUSES_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('none') }}{% endif %}"
)


def test_a_template_that_shows_tools_in_an_unknown_format_is_not_given_them() -> None:
    source = SHOWS_TOOLS + shows(f"{PLAIN} | tojson").replace("<tool_call>", "<other>")
    model = Model(name="m", chat_template=source)

    prompt = prompt_render(model, CONVERSATION, tools=(WEATHER,))

    assert prompt.output_parser.name == "plain_json"
    assert prompt.text.startswith("You can call functions.")
    assert "<other>" not in prompt.text


def test_instructions_go_before_the_first_message_without_a_system() -> None:
    source = REFUSES_SYSTEM + "{% for m in messages %}[{{ m.content }}]{% endfor %}"
    model = Model(name="m", chat_template=source)

    text = prompt_render(model, CONVERSATION[:1], tools=(WEATHER,)).text

    assert text.startswith("[You can call functions.")
    assert text.endswith("\n\nHi]")


def test_instructions_keep_the_models_way_to_think() -> None:
    source = "{# [TOOL_CALLS][ARGS] [THINK] #}{{ messages[-1].content }}[THINK]"
    model = Model(name="m", chat_template=source)

    prompt = prompt_render(model, CONVERSATION[:1], tools=(WEATHER,))

    assert prompt.output_parser.name == "plain_json"
    assert (prompt.reasons, prompt.starts_in_reasoning) == (True, True)
    assert "[/THINK]" in prompt.output_parser.preserved_tokens
    assert "[TOOL_CALLS]" not in prompt.output_parser.preserved_tokens


@pytest.mark.parametrize(("limit", "several"), [(1, False), (2, True)])
def test_a_template_decides_how_many_calls_a_message_may_have(
    limit: int, several: bool
) -> None:
    check = (
        "{% for m in messages %}"
        f"{{% if m.tool_calls | length > {limit} %}}"
        "{{ raise_exception('too many') }}{% endif %}{% endfor %}"
    )
    source = check + SHOWS_TOOLS + shows(f"{PLAIN} | tojson")
    model = Model(name="m", chat_template=source)

    prompt = prompt_render(model, CONVERSATION[:1], tools=(WEATHER,))

    assert prompt.takes_several_calls is several


def test_many_schemas_have_room_in_a_prompt() -> None:
    source = "{# <tool_call> #}{% for t in tools %}{{ t | tojson(indent=4) }}"
    source += "{% endfor %}{{ messages[0].content }}"
    nested: dict[str, object] = {"type": "string"}
    for _ in range(10):
        nested = {"type": "object", "properties": {"a": nested}}
    tools = [Tool(f"f{i}", "", {**nested, "type": "object"}) for i in range(100)]
    model = Model(name="m", chat_template=source)

    assert "f99" in prompt_render(model, CONVERSATION[:1], tools=tools).text


def test_a_fault_of_a_variable_is_known_without_a_rendering() -> None:
    template = ChatTemplate("{% if a %}{{ b }}{% endif %}{% set c = 1 %}{{ c }}")

    assert template.variables == {"a", "b"}


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("deepseek-ai-DeepSeek-V3.1", "deepseek_v31"),
        ("deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", "deepseek_v3"),
    ],
)
def test_a_template_of_calls_without_tools_gets_them_in_the_models_own_format(
    name: str, family: str
) -> None:
    source = (CHAT_TEMPLATES / f"{name}.jinja").read_text()
    model = Model(name="m", chat_template=source)

    prompt = prompt_render(model, CONVERSATION, tools=(WEATHER,))

    framing = OUTPUT_PARSERS[family].framing
    example = framing.call.fill("tool_call_name", "tool_call_arguments")
    assert prompt.output_parser is OUTPUT_PARSERS[family]
    assert f"### weather\nDescription: {WEATHER.description}\n" in prompt.text
    assert f"{framing.begin}{example}{framing.end}" in prompt.text
    assert framing.write([("weather", {"city": "Paris"})]) in prompt.text


def test_tools_that_a_template_picks_parts_of_are_shown() -> None:
    source = (CHAT_TEMPLATES / "llama-cpp-deepseek-r1.jinja").read_text()
    model = Model(name="m", chat_template=source)

    prompt = prompt_render(model, CONVERSATION[:1], tools=(WEATHER,))

    assert '"name": "weather"' in prompt.text
    assert "## Tools" not in prompt.text


@pytest.mark.parametrize("name", ["", "-interleaved"])
def test_gemma_4_gets_results_in_the_turn_of_their_call(name: str) -> None:
    path = CHAT_TEMPLATES / f"google-gemma-4-31B-it{name}.jinja"
    model = Model(name="m", chat_template=path.read_text())
    said = Message("assistant", "It is sunny.")

    prompt = prompt_render(
        model, (*CONVERSATION, said, Message("user", "Why?")), tools=(WEATHER,)
    )

    assert (
        '<|turn>model\n<|tool_call>call:weather{city:<|"|>Paris<|"|>}<tool_call|>'
        '<|tool_response>response:weather{value:<|"|>sunny<|"|>}<tool_response|>'
        "It is sunny.<turn|>\n<|turn>user\nWhy?<turn|>"
    ) in prompt.text
