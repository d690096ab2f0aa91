"""Pydantic AI: agents whose answers are typed."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic_ai import Agent, NativeOutput, ToolOutput
from pydantic_ai.direct import model_request
from pydantic_ai.messages import ModelRequest, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition

from tests.clients.client import TOO_SMALL, Client
from tests.clients.subjects import CAPITAL, PERSON, WEATHER, City, Person

CLIENT = Client(
    "Pydantic AI",
    ("pydantic-ai-slim",),
    """
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    server = OpenAIProvider(base_url="http://localhost:8000/v1", api_key="YOUR_KEY")
    model = OpenAIChatModel("SmolLM2-135M-Instruct.Q4_1", provider=server)
    agent = Agent(model)
    """,
)
FIXED: Any = {"temperature": 0, "max_tokens": 200}
WEATHER_TOOL = ToolDefinition(
    name="get_weather",
    parameters_json_schema={
        "type": "object",
        "properties": {"city": {"enum": ["Paris", "London"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
)


async def test_an_agent_answers(names: dict[str, Any]) -> None:
    result = await names["agent"].run(CAPITAL, model_settings=FIXED)
    assert "Paris" in result.output
    assert result.usage.output_tokens > 0


async def test_an_agent_streams(names: dict[str, Any]) -> None:
    async with names["agent"].run_stream(CAPITAL, model_settings=FIXED) as result:
        texts = [
            text async for text in result.stream_text(delta=True, debounce_by=None)
        ]
    assert len(texts) > 1
    assert "Paris" in "".join(texts)


@pytest.mark.parametrize("kind", [NativeOutput, ToolOutput])
async def test_an_answer_is_an_object(names: dict[str, Any], kind: Any) -> None:
    agent: Any = Agent(names["model"], output_type=kind(Person))
    result = await agent.run(PERSON, model_settings=FIXED)
    assert isinstance(result.output, Person)


async def test_a_conversation_goes_on(names: dict[str, Any]) -> None:
    first = await names["agent"].run(CAPITAL, model_settings=FIXED)
    second = await names["agent"].run(
        "And of Italy?", message_history=first.all_messages(), model_settings=FIXED
    )
    assert second.output
    assert len(second.all_messages()) == 4


async def test_a_required_call_comes_back_with_its_result(
    names: dict[str, Any],
) -> None:
    asked = ModelRequest.user_text_prompt(WEATHER)
    called = await model_request(
        names["model"],
        [asked],
        model_settings={**FIXED, "parallel_tool_calls": False},
        model_request_parameters=ModelRequestParameters(
            function_tools=[WEATHER_TOOL], allow_text_output=False
        ),
    )
    (call,) = [part for part in called.parts if isinstance(part, ToolCallPart)]
    assert call.args_as_dict()["city"] in {"Paris", "London"}
    result = ToolReturnPart(
        tool_name=call.tool_name, content="sunny", tool_call_id=call.tool_call_id
    )
    said = await model_request(
        names["model"],
        [asked, called, ModelRequest(parts=[result])],
        model_settings=FIXED,
    )
    assert any(isinstance(part, TextPart) for part in said.parts)


@pytest.mark.xfail(
    raises=AssertionError, reason=f"{TOO_SMALL} it chooses no tool by itself"
)
async def test_a_tool_is_chosen_unprompted(names: dict[str, Any]) -> None:
    cities = []
    agent = Agent(names["model"])

    @agent.tool_plain
    def get_weather(city: City) -> str:
        """Tell the weather of a city."""
        cities.append(city)
        return "sunny"

    await agent.run(WEATHER, model_settings=FIXED)
    assert cities == ["Paris"]
