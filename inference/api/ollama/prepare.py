"""Makes the engine's requests of Ollama's requests for text."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from inference.api.chat.prepare import prepare_chat
from inference.api.completions.prepare import prepare_completion
from inference.api.errors import BadRequest
from inference.api.left_out import LeftOut
from inference.api.ollama.format import OllamaFormat, OllamaHeader
from inference.api.ollama.request import OllamaChatRequest
from inference.api.ollama.translation import (
    chat_of,
    chat_of_prompt,
    completion_of,
    own_paths,
)
from inference.api.parameters.lora import served_name
from inference.errors import RequestRejected
from llm_manager.config.in_force import config

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.api.accounting.durations import Durations
    from inference.api.chat.request import ChatCompletionRequest
    from inference.api.ollama.format import Route
    from inference.api.ollama.request import OllamaGenerateRequest
    from inference.api.preparing.caller import Caller
    from inference.api.preparing.completion import PreparedCompletion
    from inference.api.streaming.answer_assembler import ParserSettings
    from inference.engine.sampling.params import SamplingParams
    from registry.model_facts import ModelFacts


@dataclass(frozen=True, slots=True)
class OllamaPreparing:
    """What preparing needs beside a body.

    ``name`` is the model's in the request. What the answer goes without is added to
    ``left_out``.
    """

    model: ModelFacts
    name: str
    caller: Caller
    left_out: LeftOut
    durations: Callable[[], Durations]

    def header(self, route: Route) -> OllamaHeader:
        """Return the header of an answer's objects."""
        return OllamaHeader(route, served_name(self.model, self.name), self.durations)

    def find_model(self, name: str) -> ModelFacts:
        """Return the model: it was found."""
        return self.model


def prepare_ollama(
    body: OllamaChatRequest | OllamaGenerateRequest, need: OllamaPreparing
) -> PreparedCompletion:
    """Return the generation request and its answer's format.

    Raises BadRequest, with the request's own names of members.
    """
    paths = own_paths()
    left_out = LeftOut()
    try:
        if isinstance(body, OllamaChatRequest):
            chat = chat_of(body, need.name, paths)
            prepared = _prepare_chat(chat, "chat", need, left_out)
        elif body.raw or body.suffix or not need.model.template_in_force():
            prepared = _prepare_completion(body, need, left_out)
        else:
            chat = chat_of_prompt(body, need.name, paths)
            prepared = _prepare_chat(chat, "generate", need, left_out)
    except (BadRequest, RequestRejected) as error:
        raise paths.in_own_words(error) from None
    need.left_out.add(*body.hints(), *filter(None, map(paths.own, left_out.paths)))
    return prepared.renamed(paths.own)


def _prepare_chat(
    chat: ChatCompletionRequest, route: Route, need: OllamaPreparing, left_out: LeftOut
) -> PreparedCompletion:
    def make_format(
        model: ModelFacts, params: SamplingParams, parsing: ParserSettings | None
    ) -> OllamaFormat:
        return OllamaFormat(need.header(route), parsing, with_logprobs=chat.logprobs)

    return prepare_chat(chat, need.find_model, need.caller, left_out, make_format)


def _prepare_completion(
    body: OllamaGenerateRequest, need: OllamaPreparing, left_out: LeftOut
) -> PreparedCompletion:
    limit = need.model.max_tokens or config().generation.max_tokens
    completion = completion_of(body, need.name, limit)
    prepared = prepare_completion(completion, need.find_model, need.caller, left_out)
    format_ = OllamaFormat(need.header("generate"), None, with_logprobs=body.logprobs)
    return replace(prepared, format=format_)
