"""AutoGen: a clerk who looks things up with a tool, and a writer who uses it.

Needs `pip install "llm-manager[agents]"`: autogen-agentchat and autogen-ext are the
packages in which AutoGen lives on; pyautogen is its former one.
"""

import asyncio
import os
from typing import Any

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_ext.models.openai import OpenAIChatCompletionClient
from common import server

ABLE = {
    "vision": False,
    "function_calling": True,
    "json_output": True,
    "structured_output": True,
    "family": "unknown",
}


async def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"In {city} it is sunny, 22 degrees."


class CallsTools(OpenAIChatCompletionClient):
    """A client for small models, which rarely decide to call a tool by themselves."""

    async def create(self, messages: Any, **fields: Any) -> Any:
        """Ask the server; a tool must be called where there is one."""
        if fields.get("tools"):
            fields["tool_choice"] = "required"
        return await super().create(messages, **fields)


async def main(base_url: str, api_key: str) -> None:
    client = CallsTools(
        model=os.environ.get("MODEL", "smollm2-135m-instruct"),
        base_url=base_url,
        api_key=api_key,
        model_info=ABLE,
        temperature=0,
        max_tokens=64,
    )
    clerk = AssistantAgent(
        "clerk", client, tools=[get_weather], system_message="Look up the weather."
    )
    writer = AssistantAgent(
        "writer", client, system_message="Write one short sentence."
    )
    team = RoundRobinGroupChat(
        [clerk, writer], termination_condition=MaxMessageTermination(3)
    )
    async for message in team.run_stream(task="Write about the weather in Paris."):
        if hasattr(message, "source"):
            print(f"{message.source}: {message.to_text()}\n")
    await client.close()


with server() as (base_url, api_key):
    asyncio.run(main(base_url, api_key))
