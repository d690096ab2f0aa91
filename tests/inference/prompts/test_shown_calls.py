"""What a chat template shows of an earlier call is a call to the family's parser."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inference.output_parsers.families import detect
from inference.prompts.chat import compiled
from inference.prompts.messages import Message, Tool
from tests.inference.output_parsers.answers import answer_of

FOLDER = Path(__file__).parents[2] / "chat_templates"
TEMPLATES = {
    path.stem: path.read_text(encoding="utf-8")
    for path in sorted(FOLDER.glob("*.jinja"))
    if detect(path.read_text(encoding="utf-8")).name != "plain_json"
}
#: They show no calls, so calls are written for them as text.
OF_NO_CALLS = {
    "LFM2-8B-A1B",
    "LFM2.5-Instruct",
    "ibm-granite-granite-3.3-2B-Instruct",
}
ARGUMENTS = {"city": 'Par<is & "it"\'s\nwide', "days": 3, "hourly": True}
WEATHER = Tool(
    "get_weather",
    "Weather of a city.",
    {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "The city."},
            "days": {"type": "integer", "description": "How many days."},
            "hourly": {"type": "boolean", "description": "By the hour."},
        },
        "required": ["city"],
    },
)
CALL = {
    "id": "call12345",
    "type": "function",
    "function": {
        "name": "get_weather",
        "arguments": json.dumps(ARGUMENTS, ensure_ascii=False),
    },
}
CONVERSATION = [
    Message("user", "the-question"),
    Message("assistant", "", tool_calls=(CALL,)),
    Message("tool", "the-result", name="get_weather", tool_call_id="call12345"),
]


@pytest.mark.parametrize("name", TEMPLATES)
def test_an_earlier_call_is_shown_as_the_parser_reads_it(name: str) -> None:
    template = compiled(TEMPLATES[name])
    takes_calls = template.abilities(has_tools=True).takes_calls
    assert takes_calls is (name not in OF_NO_CALLS)
    if not takes_calls:
        return
    text = template.render(
        CONVERSATION,
        {"bos_token": "", "eos_token": ""},
        max_chars=100_000,
        tools=[WEATHER],
    )
    shown = text.rpartition("the-question")[2].partition("the-result")[0]
    parser = detect(TEMPLATES[name]).for_answer({"get_weather": WEATHER.parameters})
    answer = answer_of([*parser.push(shown), *parser.finish()])
    calls = [(tool, json.loads(arguments)) for tool, arguments in answer.calls]
    assert calls == [("get_weather", ARGUMENTS)]
