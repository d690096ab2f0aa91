"""Pydantic AI on responses and on messages."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic_ai import Agent, NativeOutput, ToolOutput
from pydantic_ai.direct import model_request
from pydantic_ai.messages import ModelRequest, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models import ModelRequestParameters

from tests.clients.client import Client
from tests.clients.subjects import CAPITAL, PERSON, WEATHER, Person
from tests.clients.test_pydantic_ai import FIXED, WEATHER_TOOL

CLIENT = Client(
    "Pydantic AI, responses and messages",
    ("pydantic-ai-slim",),
    """
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.models.openai import OpenAIResponsesModel
    from pydantic_ai.providers.anthropic import AnthropicProvider
    from pydantic_ai.providers.openai import OpenAIProvider

    name, key = "SmolLM2-135M-Instruct.Q4_1", "YOUR_KEY"
    openai = OpenAIProvider(base_url="http://localhost:8000/v1", api_key=key)
    anthropic = AnthropicProvider(base_url="http://localhost:8000", api_key=key)
    responses = OpenAIResponsesModel(name, provider=openai)
    # What it knows of Anthropic's own models by their names.
    able = {"supports_json_schema_output": True}
    messages = AnthropicModel(name, provider=anthropic, profile=able)
    """,
)


@pytest.fixture(params=["responses", "messages"])
def model(names: dict[str, Any], request: pytest.FixtureRequest) -> Any:
    """The model of one API."""
    return names[request.param]


async def test_an_agent_answers_and_goes_on(model: Any) -> None:
    agent = Agent(model)
    first = await agent.run(CAPITAL, model_settings=FIXED)
    assert "Paris" in first.output
    second = await agent.run(
        "And of Italy?", message_history=first.all_messages(), model_settings=FIXED
    )
    assert second.output


async def test_an_agent_streams(model: Any) -> None:
    async with Agent(model).run_stream(CAPITAL, model_settings=FIXED) as result:
        texts = [
            text async for text in result.stream_text(delta=True, debounce_by=None)
        ]
    assert len(texts) > 1
    assert "Paris" in "".join(texts)


@pytest.mark.parametrize("kind", [NativeOutput, ToolOutput])
async def test_an_answer_is_an_object(model: Any, kind: Any) -> None:
    agent: Any = Agent(model, output_type=kind(Person))
    result = await agent.run(PERSON, model_settings=FIXED)
    assert isinstance(result.output, Person)


async def test_a_required_call_comes_back_with_its_result(model: Any) -> None:
    asked = ModelRequest.user_text_prompt(WEATHER)
    called = await model_request(
        model,
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
        model,
        [asked, called, ModelRequest(parts=[result])],
        model_settings=FIXED,
        model_request_parameters=ModelRequestParameters(function_tools=[WEATHER_TOOL]),
    )
    assert any(isinstance(part, TextPart | ToolCallPart) for part in said.parts)
