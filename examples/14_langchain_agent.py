"""LangChain: an agent that calls a tool, then answers.

Needs `pip install "llm-manager[agents]"`.
"""

import os
from typing import Any

from common import server
from langchain.agents import create_agent
from langchain.agents.middleware import wrap_model_call
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two whole numbers."""
    return a * b


@wrap_model_call
def calls_first(request: Any, handler: Any) -> Any:
    """Make the model call the tool once: small ones rarely decide to by themselves."""
    has_called = any(isinstance(message, ToolMessage) for message in request.messages)
    return handler(request.override(tool_choice="none" if has_called else "required"))


def main(base_url: str, api_key: str) -> None:
    model = ChatOpenAI(
        model=os.environ.get("MODEL", "smollm2-135m-instruct"),
        base_url=base_url,
        api_key=api_key,
        temperature=0,
        max_tokens=64,
    )
    agent = create_agent(model, tools=[multiply], middleware=[calls_first])
    question = {"role": "user", "content": "What is 6 times 7?"}
    for message in agent.invoke({"messages": [question]})["messages"]:
        calls = getattr(message, "tool_calls", None)
        said = [f"{call['name']}({call['args']})" for call in calls or ()]
        print(f"{message.type:6}", ", ".join(said) or message.content)


with server() as (base_url, api_key):
    main(base_url, api_key)
