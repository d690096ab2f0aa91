"""OpenAI's Agents SDK on its default API: responses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from agents import (
    Agent,
    AgentHooks,
    ModelSettings,
    Runner,
    WebSearchTool,
    function_tool,
)

from tests.clients.client import MODEL, Client
from tests.clients.subjects import CAPITAL, PERSON, WEATHER, City, Person

CLIENT = Client(
    "OpenAI Agents SDK, default API",
    ("openai-agents",),
    """
    import agents
    from openai import AsyncOpenAI

    server = AsyncOpenAI(base_url="http://localhost:8000/v1", api_key="YOUR_KEY")
    agents.set_default_openai_client(server, use_for_tracing=False)
    agents.set_default_openai_api("responses")
    agent = agents.Agent(name="Assistant", model="SmolLM2-135M-Instruct.Q4_1")
    """,
    note="Hosted tools such as `WebSearchTool` are left out, and said.",
)
FIXED = ModelSettings(temperature=0, max_tokens=200)
CALLS = replace(FIXED, tool_choice="required", parallel_tool_calls=False)


class SpeaksAfterwards(AgentHooks[None]):
    """Keeps an agent from calling again: it would, as it did before."""

    async def on_tool_end(self, context: Any, agent: Any, *rest: Any) -> None:
        """Rule out further calls."""
        agent.model_settings = replace(CALLS, tool_choice="none")


async def test_an_agent_answers(names: dict[str, Any]) -> None:
    agent = names["agent"].clone(model_settings=FIXED)
    result = await Runner.run(agent, CAPITAL)
    assert "Paris" in result.final_output


async def test_an_agent_streams(names: dict[str, Any]) -> None:
    agent = names["agent"].clone(model_settings=FIXED, instructions="Be brief.")
    result = Runner.run_streamed(agent, CAPITAL)
    deltas = [
        event.data.delta
        async for event in result.stream_events()
        if event.type == "raw_response_event"
        and event.data.type == "response.output_text.delta"
    ]
    assert len(deltas) > 1
    assert "".join(deltas) == result.final_output


async def test_an_answer_is_an_object(names: dict[str, Any]) -> None:
    agent = names["agent"].clone(model_settings=FIXED, output_type=Person)
    result = await Runner.run(agent, PERSON)
    assert isinstance(result.final_output, Person)


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "as a stream"])
async def test_a_required_tool_is_run_and_its_result_answered(
    names: dict[str, Any], *, streams: bool
) -> None:
    cities: list[str] = []

    def get_weather(city: City) -> str:
        """Tell the weather of a city."""
        cities.append(city)
        return "It is sunny."

    agent = Agent(
        name="Weather",
        model=MODEL,
        tools=[function_tool(get_weather)],
        model_settings=CALLS,
        hooks=SpeaksAfterwards(),
        reset_tool_choice=False,
    )
    if streams:
        streamed = Runner.run_streamed(agent, WEATHER)
        kinds = [event.type async for event in streamed.stream_events()]
        assert "run_item_stream_event" in kinds
        assert streamed.final_output
    else:
        assert (await Runner.run(agent, WEATHER)).final_output
    assert len(cities) == 1


async def test_one_agent_hands_over_to_another(names: dict[str, Any]) -> None:
    second = names["agent"].clone(name="Geographer", model_settings=FIXED)
    first = names["agent"].clone(name="Clerk", handoffs=[second], model_settings=CALLS)
    result = await Runner.run(first, CAPITAL)
    assert result.last_agent.name == "Geographer"
    assert result.final_output


async def test_a_hosted_tool_is_left_out(names: dict[str, Any]) -> None:
    agent = names["agent"].clone(tools=[WebSearchTool()], model_settings=FIXED)
    result = await Runner.run(agent, CAPITAL)
    assert result.final_output


async def test_a_turn_goes_on_from_the_response_before(names: dict[str, Any]) -> None:
    agent = names["agent"].clone(model_settings=FIXED)
    first = await Runner.run(agent, CAPITAL)
    second = await Runner.run(
        agent, "And of Germany?", previous_response_id=first.last_response_id
    )
    assert second.final_output
