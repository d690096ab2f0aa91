"""Makes a chat request of Anthropic's, and names its members in Anthropic's words."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from inference.api.body.unsupported import hints_left_out
from inference.api.chat.request import ChatCompletionRequest
from inference.api.chat.tools import (
    FunctionDefinition,
    FunctionName,
    FunctionTool,
    NamedTool,
)
from inference.api.errors import BadRequest
from inference.api.messages.blocks import has_longer_ttl
from inference.api.messages.client_tools import CLIENT_TOOLS
from inference.api.messages.context_edits import cleared_by
from inference.api.messages.conversation import chat_conversation
from inference.api.messages.request import (
    AdaptiveThinking,
    EnabledThinking,
    MessagesRequest,
)
from inference.api.messages.tools import (
    AnyChoice,
    CustomTool,
    KnownTool,
    NamedChoice,
    NoChoice,
)
from inference.api.parameters.structured_output import (
    NamedSchema,
    ResponseFormatJsonSchema,
)
from inference.prompts.token_estimate import estimate_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from inference.api.chat.tools import ToolChoice
    from inference.api.messages.conversation import ChatTurns
    from inference.api.messages.request import MessagesInput
    from inference.api.messages.signature import ThinkingSigner
    from inference.errors import RequestRejected

#: Anthropic's own default.
_DEFAULT_EFFORT = "high"
_PATH = re.compile(r"'([a-z_]+(?:\[\d+\])?)((?:\.[^']*)?)'")
#: Members with another name, and those that the answer goes without if a chat's does.
_NAMES = {
    "stop": "stop_sequences",
    "max_completion_tokens": "max_tokens",
    "reasoning_effort": "output_config.effort",
    "thinking_budget": "thinking",
}


@dataclass(slots=True)
class Translation:
    """A request as a chat's.

    ``paths`` has the place in the request of members of the chat, ``left_out`` what is
    left out whatever the model. ``applied_edits`` are Anthropic's objects, None if the
    request has no edits.
    """

    chat: ChatCompletionRequest
    paths: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    applied_edits: list[dict[str, Any]] | None = None

    def of_request(self, paths: Iterable[str]) -> Iterator[str]:
        """Yield the paths in the request of a chat's paths, of those that it gave."""
        for path in paths:
            head, _, rest = path.partition(".")
            for known in (path, *_beginnings(path)):
                if known in self.paths:
                    name = self.paths[known] + path[len(known) :]
                    break
            else:
                name = _NAMES.get(head, head) + (f".{rest}" if rest else "")
            if name:
                yield name

    def in_words(self, error: BadRequest | RequestRejected) -> None:
        """Give an error the request's own names of members."""
        if error.param:
            error.param = self.own_path(error.param)
        message = _PATH.sub(self._renamed, str(error))
        error.args = (message, *error.args[1:])
        if hasattr(error, "message"):
            error.message = message

    def _renamed(self, match: re.Match[str]) -> str:
        path = match[1] + match[2]
        head = match[1].partition("[")[0]
        if head not in ChatCompletionRequest.model_fields:
            return match[0]
        return f"'{self.own_path(path)}'"

    def own_path(self, path: str) -> str:
        """Return the request's own path of a member of the chat."""
        return next(self.of_request([path]), path)


def translate(body: MessagesInput, signer: ThinkingSigner) -> Translation:
    """Return a request as a chat's. Raises BadRequest."""
    edits = cleared_by(body.context_management, body.messages, partial(_estimate, body))
    conversation = chat_conversation(body, edits, signer)
    paths = {f"messages[{i}]": at for i, at in enumerate(conversation.places)}
    values: dict[str, Any] = {"messages": conversation.messages}
    values |= _sampling(body) if isinstance(body, MessagesRequest) else {}
    values |= _thinking(body)
    tools, not_run = _tools(body, conversation, paths)
    values |= {"tools": tools, **_choice(body)}
    values |= _format(body, paths)
    _check_beginning(body, conversation)
    chat = ChatCompletionRequest.model_construct(
        {"model", *values}, model=body.model, **values
    )
    translation = Translation(chat, paths)
    if body.context_management is not None:
        translation.applied_edits = edits.applied
    if body.effort is None:
        # The request did not ask for it.
        paths["reasoning_effort"] = ""
    translation.left_out = [
        *hints_left_out(body),
        *(f"context_management.edits[{index}]" for index in edits.left_out),
        *conversation.left_out,
        *not_run,
        *_without_effect(body),
    ]
    return translation


def _beginnings(path: str) -> Iterator[str]:
    """Yield the paths of the objects that a path is in, the nearest first."""
    end = len(path)
    while (end := max(path.rfind(".", 0, end), path.rfind("[", 0, end))) > 0:
        yield path[:end]


def _estimate(body: MessagesInput) -> int:
    """Return an estimate of the prompt's tokens."""
    return estimate_tokens(
        body.model_dump_json(include={"messages", "system", "tools"})
    )


def _sampling(body: MessagesRequest) -> dict[str, Any]:
    given = {
        "temperature": body.temperature,
        "top_p": body.top_p,
        "top_k": body.top_k,
        "stop": body.stop_sequences or None,
    }
    return {
        **{name: value for name, value in given.items() if value is not None},
        "max_tokens": body.max_tokens,
        "stream": body.stream,
    }


def _thinking(body: MessagesInput) -> dict[str, Any]:
    """Return how much the model thinks, and that nobody sees what was not asked for."""
    match body.thinking:
        case EnabledThinking(budget_tokens=budget):
            effort = body.effort or _DEFAULT_EFFORT
            return {"reasoning_effort": effort, "thinking_budget": budget}
        case AdaptiveThinking():
            # No limit; a model that does not think is known by it.
            effort = body.effort or _DEFAULT_EFFORT
            return {"reasoning_effort": effort, "thinking_budget": -1}
    return {"reasoning_effort": "none", "include_reasoning": False}


def _without_effect(body: MessagesInput) -> Iterator[str]:
    if body.effort and not isinstance(
        body.thinking, EnabledThinking | AdaptiveThinking
    ):
        yield "output_config.effort"
    if body.output_config is not None and body.output_config.task_budget is not None:
        yield "output_config.task_budget"
    if has_longer_ttl(body.cache_control):
        yield "cache_control.ttl"
    for index, tool in enumerate(body.tools):
        if not isinstance(tool, dict) and has_longer_ttl(tool.cache_control):
            yield f"tools[{index}].cache_control.ttl"


def _tools(
    body: MessagesInput, conversation: ChatTurns, paths: dict[str, str]
) -> tuple[list[FunctionTool], list[str]]:
    """Return the tools that the model sees, and the paths of those that nobody runs.

    A deferred tool is seen once the conversation has added it.
    """
    changed = conversation.tools_changed
    tools: list[FunctionTool] = []
    not_run: list[str] = []
    for index, tool in enumerate(body.tools):
        path = f"tools[{index}]"
        if isinstance(tool, dict):
            not_run.append(path)
            continue
        if not changed.get(tool.name, not tool.defer_loading):
            continue
        at = f"tools[{len(tools)}]"
        paths[f"{at}.function.parameters"] = f"{path}.input_schema"
        paths[f"{at}.function"] = paths[at] = path
        tools.append(_function(tool))
    return tools, not_run


def _function(tool: CustomTool | KnownTool) -> FunctionTool:
    name, strict = tool.name, tool.strict
    if isinstance(tool, CustomTool):
        description, schema = tool.description, tool.input_schema
    else:
        _, description, schema = CLIENT_TOOLS[tool.type]
    if tool.input_examples:
        examples = "\n".join(
            json.dumps(example, ensure_ascii=False) for example in tool.input_examples
        )
        description = f"{description}\n\nExamples of its input:\n{examples}".strip()
    function = FunctionDefinition.model_construct(
        name=name, description=description, parameters=schema, strict=strict
    )
    return FunctionTool.model_construct(type="function", function=function)


def _choice(body: MessagesInput) -> dict[str, Any]:
    choice: ToolChoice = "auto"
    match body.tool_choice:
        case NamedChoice(name=name):
            choice = NamedTool.model_construct(
                type="function", function=FunctionName.model_construct(name=name)
            )
        case AnyChoice():
            choice = "required"
        case NoChoice():
            choice = "none"
    given = body.tool_choice
    is_one = given is not None and given.disable_parallel_tool_use
    return {"tool_choice": choice, "parallel_tool_calls": not is_one}


def _format(body: MessagesInput, paths: dict[str, str]) -> dict[str, Any]:
    if body.answer_format is None:
        return {}
    path, form = body.answer_format
    paths["response_format.json_schema.schema"] = f"{path}.schema"
    paths["response_format"] = path
    named = NamedSchema.model_construct(
        name="answer", description="", strict=True, schema_=form.schema_
    )
    return {
        "response_format": ResponseFormatJsonSchema.model_construct(
            type="json_schema", json_schema=named
        )
    }


def _check_beginning(body: MessagesInput, conversation: ChatTurns) -> None:
    """Refuse to continue an answer that must match something. Raises BadRequest."""
    if not conversation.is_begun:
        return
    path = conversation.places[-1]
    must_call = isinstance(body.tool_choice, AnyChoice | NamedChoice)
    conflicts: Mapping[str, object] = {
        "tool_choice": must_call,
        (body.answer_format or ("output_config.format", None))[0]: body.answer_format,
    }
    for name, is_given in conflicts.items():
        if is_given:
            raise BadRequest(
                f"'{path}' is the beginning of the answer, and '{name}' says what the "
                "whole answer must be; send one of them.",
                param=path,
            )
