"""A model calls a function of yours, and answers with what it returned."""

import json

from common import models_dir

from llm_manager import LLMManager


def get_weather(city: str) -> str:
    """Stands for a real service."""
    return f"In {city} it is sunny, 22 degrees."


TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}

messages = [{"role": "user", "content": "What is the weather in Paris?"}]
with LLMManager(models_dir=models_dir()) as manager:
    name = next(m["id"] for m in manager.list_models() if "chat" in m["capabilities"])
    manager.load_model(name)
    # "required": small models rarely decide to call a tool by themselves. What they
    # call always matches the tool's schema.
    answer = manager.generate(
        messages=messages,
        tools=[TOOL],
        tool_choice="required",
        temperature=0,
        max_tokens=64,
    )
    message = answer["choices"][0]["message"]
    call = message["tool_calls"][0]
    print("The model calls:", call["function"]["name"], call["function"]["arguments"])

    result = get_weather(**json.loads(call["function"]["arguments"]))
    print("It returns:     ", result)
    messages += [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": result},
    ]
    answer = manager.generate(
        messages=messages,
        tools=[TOOL],
        tool_choice="none",
        temperature=0,
        max_tokens=48,
    )
    print("The model says: ", answer["choices"][0]["message"]["content"].strip())
