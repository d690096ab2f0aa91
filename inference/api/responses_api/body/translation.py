"""A request for a response as a request for a chat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inference.api.chat.request import ChatCompletionRequest
from inference.api.errors import BadRequest
from inference.api.parameters.sampling import SamplingParameters
from inference.api.preparing.paths import Paths
from inference.api.responses_api.body.called_tools import (
    chat_choice,
    functions_of,
    tools_of,
)
from inference.api.responses_api.body.history import ChatHistory
from inference.api.responses_api.body.mcp_items import Approvals
from inference.api.responses_api.body.request import (
    FormatJsonObject,
    FormatJsonSchema,
    ResponseRequest,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inference.api.responses_api.body.called_tools import Functions
    from inference.api.responses_api.body.items import InputItem
    from inference.api.responses_api.body.request import ResponseTask

#: What members of a chat are in a request for a response.
_PATHS = {
    "messages": "input",
    "response_format": "text.format",
    "response_format.json_schema": "text.format",
    "max_completion_tokens": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "reasoning_effort": "reasoning.effort",
    "logprobs": "include",
    "continue_final_message": "input",
}


@dataclass(frozen=True, slots=True)
class Translated:
    """A request for a chat, and how to speak of it in the request's own words.

    ``left_out`` are the paths of what was not translated.
    """

    chat: ChatCompletionRequest
    paths: Paths
    functions: Functions
    left_out: list[str]


def as_chat(
    body: ResponseTask,
    before: Sequence[tuple[InputItem, str]],
    owner: str,
    listed: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    strict_by_default: bool,
) -> Translated:
    """Return the request for a chat. Raises BadRequest.

    ``before`` are the items of what the request goes on from, with paths to name them
    by; ``owner`` is whose encrypted reasoning can be read; ``listed`` are the tools of
    MCP servers, by their labels.
    """
    paths = Paths(_PATHS)
    items = input_items(body)
    conversation = ChatHistory(
        paths,
        owner,
        approvals=Approvals.of([*before, *items]),
        servers=listed.keys(),
    )
    if body.instructions is not None:
        conversation.instruct(body.instructions)
    conversation.add(before)
    if isinstance(body.input, str):
        conversation.ask(body.input)
    conversation.add(items)
    conversation.finish()
    functions = functions_of(
        tools_of(body.tools, [*before, *items]),
        paths,
        listed,
        strict_by_default=strict_by_default,
    )
    choice, hosted = chat_choice(body.tool_choice, functions)
    chat: dict[str, Any] = {
        "model": body.model,
        "messages": conversation.messages,
        "tools": functions.functions,
        "tool_choice": choice,
        "parallel_tool_calls": body.parallel_tool_calls,
        "continue_final_message": False,
        "response_format": _response_format(body),
        "reasoning_effort": body.reasoning and body.reasoning.effort,
    }
    if isinstance(body, ResponseRequest):
        chat |= _own_parameters(body)
    try:
        request = ChatCompletionRequest.parse(chat)
    except BadRequest as error:
        raise paths.in_own_words(error) from None
    left_out = [*conversation.left_out, *functions.hosted, *hosted]
    return Translated(request, paths, functions, left_out)


def input_items(body: ResponseTask) -> list[tuple[InputItem, str]]:
    """Return the items of the input, each with its path; a text has none."""
    if isinstance(body.input, str):
        return []
    return [(item, f"input[{index}]") for index, item in enumerate(body.input)]


def _own_parameters(body: ResponseRequest) -> dict[str, Any]:
    given = {name: getattr(body, name) for name in SamplingParameters.model_fields}
    return {
        **{name: _plain(value) for name, value in given.items() if value is not None},
        "lora": [each.model_dump() for each in body.lora],
        "priority": body.priority,
        "max_completion_tokens": body.max_output_tokens,
        "stream": body.stream,
        "logprobs": body.with_logprobs,
        "top_logprobs": body.top_logprobs,
        "user": body.user,
        "metadata": body.metadata,
    }


def _plain(value: Any) -> Any:
    return value.model_dump() if hasattr(value, "model_dump") else value


def _response_format(body: ResponseTask) -> dict[str, Any] | None:
    match body.text and body.text.format:
        case FormatJsonObject():
            return {"type": "json_object"}
        case FormatJsonSchema() as named:
            schema = named.model_dump(by_alias=True, exclude={"type"})
            return {"type": "json_schema", "json_schema": schema}
    return None
