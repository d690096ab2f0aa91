"""Makes requests of OpenAI's API of Ollama's, and keeps their members' own names."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inference.api.chat.request import ChatCompletionRequest
from inference.api.completions.request import CompletionRequest
from inference.api.errors import BadRequest
from inference.api.media.sound_format import sound_format
from inference.api.ollama.options import Options
from inference.api.ollama.request import (
    OllamaAssistantTurn,
    OllamaToolTurn,
    OllamaUserTurn,
)
from inference.api.parameters.sampling import SamplingParameters
from inference.api.preparing.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference.api.media.sound_format import SoundFormat
    from inference.api.ollama.options import GenerationBody
    from inference.api.ollama.request import (
        OllamaChatRequest,
        OllamaGenerateRequest,
        OllamaTurn,
    )

#: Characters of base64 that say which format a file has.
_BEGINNING = 16
#: Members that have another name here, beside those of ``options``.
_NAMES = {
    "max_tokens": "options.num_predict",
    "response_format": "format",
    "response_format.json_schema.schema": "format",
    # Ollama has one member for both, which is said once.
    "reasoning_effort": "",
    "thinking_budget": "think",
}


def own_paths() -> Paths:
    """Return the paths of members that have another name in Ollama's requests."""
    sampling = {
        name: f"options.{name}"
        for name in Options.model_fields
        if name in SamplingParameters.model_fields
    }
    return Paths({**sampling, **_NAMES})


def chat_of(body: OllamaChatRequest, model: str, paths: Paths) -> ChatCompletionRequest:
    """Return a chat as OpenAI's request. Raises BadRequest in OpenAI's words."""
    return ChatCompletionRequest.parse(
        {
            "model": model,
            "messages": _messages(body.messages, paths),
            "tools": body.tools,
            **_common(body),
            **_thinking(body, paths),
            "logprobs": body.logprobs,
            "top_logprobs": body.top_logprobs,
        }
    )


def chat_of_prompt(
    body: OllamaGenerateRequest, model: str, paths: Paths
) -> ChatCompletionRequest:
    """Return a prompt in the model's template as OpenAI's chat. Raises BadRequest."""
    turns: list[tuple[str, dict[str, Any]]] = []
    if body.system:
        turns.append(("system", {"role": "system", "content": body.system}))
    if body.prompt or body.images:
        content = _content(body.prompt, body.images or ())
        turns.append(("prompt", {"role": "user", "content": content}))
    messages = [message for _, message in turns]
    paths.add("messages", "prompt")
    for index, (name, _) in enumerate(turns):
        paths.add(f"messages[{index}]", name)
        paths.add(f"messages[{index}].content", name)
    for number, data in enumerate(body.images or ()):
        at = f"messages[{len(turns) - 1}].content[{number}].{_path(data)}"
        paths.add(at, f"images[{number}]")
    return ChatCompletionRequest.parse(
        {
            "model": model,
            "messages": messages,
            **_common(body),
            **_thinking(body, paths),
            "logprobs": body.logprobs,
            "top_logprobs": body.top_logprobs,
        }
    )


def completion_of(
    body: OllamaGenerateRequest, model: str, max_tokens: int
) -> CompletionRequest:
    """Return a prompt that is continued as it is as OpenAI's completion.

    ``max_tokens`` is the default. Raises BadRequest.
    """
    for name in ("system", "think", "images"):
        if getattr(body, name):
            raise BadRequest(
                f"'{name}' needs the model's chat template, and this prompt is "
                "continued as it is: because of 'raw' or 'suffix', or because the "
                "model has no template.",
                param=name,
            )
    return CompletionRequest.parse(
        {
            "model": model,
            "prompt": body.prompt,
            "suffix": body.suffix,
            "max_tokens": max_tokens,
            **_common(body),
            "logprobs": body.top_logprobs if body.logprobs else None,
        }
    )


def _common(body: GenerationBody) -> dict[str, Any]:
    options = body.options
    common: dict[str, Any] = {"stream": body.stream, **options.sampling()}
    if options.num_predict is not None:
        common["max_tokens"] = -1 if options.num_predict < 0 else options.num_predict
    if body.format == "json":
        common["response_format"] = {"type": "json_object"}
    elif body.format:
        named = {"name": "format", "schema": body.format}
        common["response_format"] = {"type": "json_schema", "json_schema": named}
    return common


def _thinking(body: GenerationBody, paths: Paths) -> dict[str, Any]:
    if body.think is None:
        return {}
    if body.think is False:
        return {"reasoning_effort": "none", "include_reasoning": False}
    if body.think is True:
        # No limit; a model that does not think is known by it.
        return {"reasoning_effort": "medium", "thinking_budget": -1}
    paths.add("reasoning_effort", "think")
    return {"reasoning_effort": body.think}


def _content(text: str, images: Sequence[str]) -> str | list[dict[str, Any]]:
    """Return the content of a user's message: media, in base64, before its text."""
    if not images:
        return text
    parts = [_part(each) for each in images]
    if text:
        parts.append({"type": "text", "text": text})
    return parts


def _part(data: str) -> dict[str, Any]:
    """Return an image or, as Ollama's clients send it in the same place, a sound."""
    kind = _sound_format(data)
    if kind is not None:
        return {"type": "input_audio", "input_audio": {"data": data, "format": kind}}
    # Of a data: URL only the bytes say which format they are.
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


def _sound_format(data: str) -> SoundFormat | None:
    try:
        return sound_format(base64.b64decode(data[:_BEGINNING]))
    except ValueError:
        # It is refused where it is read.
        return None


def _path(data: str) -> str:
    """Return the member of the part that has the data."""
    return "image_url.url" if _sound_format(data) is None else "input_audio.data"


def _messages(turns: Sequence[OllamaTurn], paths: Paths) -> list[dict[str, Any]]:
    """Return the messages. A call without an id gets one. Raises BadRequest."""
    messages: list[dict[str, Any]] = []
    calls = _OpenCalls()
    for index, turn in enumerate(turns):
        message: dict[str, Any] = {"role": turn.role, "content": turn.content}
        match turn:
            case OllamaAssistantTurn():
                message["reasoning_content"] = turn.thinking
                message["tool_calls"] = calls.begin(index, turn)
            case OllamaUserTurn(images=images):
                message["content"] = _content(turn.content, images or ())
                for number, data in enumerate(images or ()):
                    at = f"messages[{index}].content[{number}].{_path(data)}"
                    paths.add(at, f"messages[{index}].images[{number}]")
            case OllamaToolTurn():
                message["tool_call_id"] = calls.answer(index, turn)
        messages.append(message)
    return messages


@dataclass(slots=True)
class _OpenCalls:
    """The calls of the last answer that have no result yet: their ids and names."""

    open: dict[str, str] = field(default_factory=dict)

    def begin(self, index: int, turn: OllamaAssistantTurn) -> list[dict[str, Any]]:
        """Return the calls of an answer, as OpenAI's objects."""
        self.open = {}
        found = []
        for number, call in enumerate(turn.tool_calls):
            id_ = call.id or f"call_{index}_{number}"
            self.open[id_] = call.function.name
            function = {
                "name": call.function.name,
                "arguments": call.function.arguments,
            }
            found.append({"id": id_, "function": function})
        return found

    def answer(self, index: int, turn: OllamaToolTurn) -> str:
        """Return the id of the call that a result belongs to. Raises BadRequest."""
        path = f"messages[{index}]"
        if turn.tool_call_id:
            # An id of no call is refused with all others.
            self.open.pop(turn.tool_call_id, None)
            return turn.tool_call_id
        named = [id_ for id_, name in self.open.items() if turn.tool_name in ("", name)]
        if not named:
            what = f"of '{turn.tool_name}' " if turn.tool_name else ""
            raise BadRequest(
                f"'{path}' is a result, and the assistant has no call {what}right "
                "before it that is not answered yet.",
                param=path,
            )
        del self.open[named[0]]
        return named[0]
