"""AutoGen: agents that talk to each other."""

from __future__ import annotations

from typing import Any

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.messages import TextMessage, ToolCallSummaryMessage
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.models import UserMessage
from autogen_ext.models.openai import OpenAIChatCompletionClient

from tests.clients.client import MODEL, TOO_SMALL, Client
from tests.clients.subjects import CAPITAL, PERSON, WEATHER, City, Person

CLIENT = Client(
    "AutoGen",
    ("autogen-agentchat", "autogen-ext"),
    """
    from autogen_ext.models.openai import OpenAIChatCompletionClient

    server = {"base_url": "http://localhost:8000/v1", "api_key": "YOUR_KEY"}
    able = {"vision": False, "function_calling": True, "json_output": True,
            "structured_output": True, "family": "unknown"}
    client = OpenAIChatCompletionClient(
        model="SmolLM2-135M-Instruct.Q4_1", model_info=able, **server
    )
    """,
)
FIXED = {"temperature": 0, "max_tokens": 100}


class CallsFirst(OpenAIChatCompletionClient):
    """A client whose agents, which cannot ask for it, have to call a tool."""

    async def create(self, messages: Any, **fields: Any) -> Any:
        """Ask the server; a tool must be called where there is one."""
        if fields.get("tools"):
            fields["tool_choice"] = "required"
        return await super().create(messages, **fields)


def get_weather(city: City) -> str:
    """Tell the weather of a city."""
    return f"It is sunny in {city}."


async def test_a_client_answers_and_counts(names: dict[str, Any]) -> None:
    asked = [UserMessage(content=CAPITAL, source="user")]
    result = await names["client"].create(asked, extra_create_args=FIXED)
    assert "Paris" in result.content
    assert result.usage.completion_tokens > 0


async def test_a_client_streams(names: dict[str, Any]) -> None:
    asked = [UserMessage(content=CAPITAL, source="user")]
    stream = names["client"].create_stream(asked, extra_create_args=FIXED)
    *texts, result = [piece async for piece in stream]
    assert len(texts) > 1
    assert "".join(texts) == result.content


async def test_an_answer_is_an_object(names: dict[str, Any]) -> None:
    asked = [UserMessage(content=PERSON, source="user")]
    result = await names["client"].create(
        asked, json_output=Person, extra_create_args=FIXED
    )
    Person.model_validate_json(result.content)


async def test_two_agents_talk_and_one_uses_a_tool(names: dict[str, Any]) -> None:
    caller = CallsFirst(
        model=MODEL,
        model_info=names["able"],
        parallel_tool_calls=False,
        **FIXED,
        **names["server"],
    )
    team = RoundRobinGroupChat(
        [
            AssistantAgent("meteorologist", caller, tools=[get_weather]),
            AssistantAgent("poet", names["client"], system_message="Write a line."),
        ],
        termination_condition=MaxMessageTermination(3),
    )
    result = await team.run(task=WEATHER)
    await caller.close()
    user, weather, poem = [
        message
        for message in result.messages
        if isinstance(message, TextMessage | ToolCallSummaryMessage)
    ]
    assert (user.source, weather.source) == ("user", "meteorologist")
    assert "It is sunny in" in weather.content
    assert poem.source == "poet"
    assert poem.content


@pytest.mark.xfail(
    raises=AssertionError, reason=f"{TOO_SMALL} it chooses no tool by itself"
)
async def test_a_tool_is_chosen_unprompted(names: dict[str, Any]) -> None:
    agent = AssistantAgent("meteorologist", names["client"], tools=[get_weather])
    result = await agent.run(task=WEATHER)
    assert isinstance(result.messages[-1], ToolCallSummaryMessage)
