"""Chat models that call tools and think, each of another model family."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from tests.factories import make_model
from tests.fakes import begun, finished, tokens
from tests.inference.api.conftest import Api, events_of, read_stream

if TYPE_CHECKING:
    from registry.models import Model
    from tests.fakes import FakeEngineClient

#: Shows everything that a conversation may have; what stands in ``{#`` and ``#}``
#: before it decides the family.
TEMPLATE = (
    "{% for t in tools or [] %}[tool {{ t | tojson }}]{% endfor %}"
    "{% for m in messages %}[{{ m.role }} {{ m.name }} {{ m.content }}"
    "{% for c in m.tool_calls %}{{ c.id }}{{ c.function | tojson }}{% endfor %}"
    "{{ m.reasoning_content }}{{ m.tool_call_id }}]{% endfor %}"
)
#: What templates are recognised by.
TELL_TALES = {
    "hermes": "<tool_call>",
    "qwen3_coder": "<function=<parameter=",
    "llama3": "<|python_tag|>",
    "llama4": "<|python_start|>",
    "mistral": "[TOOL_CALLS]",
    "mistral_v11": "[TOOL_CALLS][ARGS]",
    "functionary_v32": ">>>all",
    "command_r": "<|START_ACTION|>",
    "deepseek_v3": "<｜tool▁calls▁begin｜>```json",
    "glm45": "<arg_key>",
    "kimi_k2": "<|tool_calls_section_begin|>",
    "harmony": "<|channel|><|message|><|channel|>analysis<|message|>",
    "granite": "<|tool_call|>",
    "gemma4": "<|tool_call>call:",
    "lfm2": "<|tool_call_start|>",
    "nemotron_v2": "<TOOLCALL>",
    "apertus": "<|tools_prefix|>",
    "minimax_m3": "]<]minimax[>[<tool_call>",
    "minimax_m2": "<minimax:tool_call>",
    "deepseek_v32": "｜DSML｜function_calls>",
    "deepseek_v4": "｜DSML｜tool_calls>",
    "apriel": "[BEGIN FINAL RESPONSE] <tool_calls>",
    "gigachat3": "<|role_sep|> function call",
    "gigachat31": "<|role_sep|> <|function_call|>",
    "hunyuan3": "<tool_sep{}> <arg_key{}> :opensource",
    "minicpm5": '<function name="<param name="',
    "solar_open": "<|tool_call:begin|><|tool_call:args|>",
    "kimi_k3": "<|open|><|close|><|end_of_msg|>",
    "muse_glimmer": "<atem:function_calls> <|message|>",
    "plain_json": "nothing",
}
THINK = "{# <think> #}"

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
NOW: dict[str, Any] = {"type": "function", "function": {"name": "now"}}
TOOLS = [WEATHER, NOW]


def template_of(family: str) -> str:
    """Return a chat template of this model family."""
    return "{# " + TELL_TALES[family] + " #}" + TEMPLATE


async def make_tool_model(
    family: str, *, template: str | None = None, **fields: Any
) -> Model:
    """Save a model that is named after its family."""
    source = template_of(family) if template is None else template
    return await sync_to_async(make_model)(family, chat_template=source, **fields)


def script(
    engine: FakeEngineClient, text: str, size: int = 3, *, reason: str = "stop"
) -> None:
    """Let the engine write a text next, ``size`` characters to a token."""
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    steps = [[tokens(piece)] for piece in pieces]
    engine.enqueue(begun(), *steps, [finished(reason, completion=len(pieces) + 1)])


async def choice_of(api: Api, **body: Any) -> Any:
    """Return the only choice of an answer."""
    response = await api.chat(**body)
    assert response.status_code == 200, response.content
    (choice,) = response.json()["choices"]
    return choice


async def chunks_of(api: Api, **body: Any) -> list[Any]:
    """Return the choices of a stream's chunks, one after another."""
    events = events_of(await read_stream(await api.chat(stream=True, **body)))
    return [choice for event in events[:-1] for choice in event["choices"]]


def whole(chunks: list[Any]) -> dict[str, Any]:
    """Return the message that a client makes of a stream's deltas."""
    message: dict[str, Any] = {"content": None}
    for delta in (chunk["delta"] for chunk in chunks):
        for name in ("content", "reasoning_content"):
            if delta.get(name) is not None:
                message[name] = (message.get(name) or "") + delta[name]
        for call in delta.get("tool_calls", ()):
            calls = message.setdefault("tool_calls", [])
            if "id" in call:
                assert call["index"] == len(calls)
                calls.append({"id": call["id"], "type": call["type"], "function": {}})
                calls[-1]["function"] |= call["function"]
            else:
                function = calls[call["index"]]["function"]
                function["arguments"] += call["function"]["arguments"]
    return message


def called(message: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return each call of a message: the name and the arguments."""
    functions = [call["function"] for call in message.get("tool_calls", ())]
    return [(each["name"], json.loads(each["arguments"])) for each in functions]
