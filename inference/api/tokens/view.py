"""POST /tokenize, /detokenize and /apply-template: what a model would be given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from django.conf import settings

from inference.api.chat import tools
from inference.api.chat.messages import Messages
from inference.api.completions.prompts import Tokens
from inference.api.declarations.fields import Boolean, Field, Text
from inference.api.declarations.records import Record, missing
from inference.api.engine_view import EngineView
from inference.api.errors import InvalidRequest
from inference.api.model_access import WRITES
from inference.api.openapi.operations import (
    detokenize_schema,
    template_schema,
    tokenize_schema,
)
from inference.api.parameters import reasoning
from inference.api.responses import json_response
from inference.api.text_limits import check_sizes
from inference.prompts import chat
from inference.services import is_served
from inference.transport.jobs import DetokenizeJob, TokenizeJob
from inference.transport.messages import Detokenized, Tokenized
from inference.worker.vocabulary_process import get_vocabulary_process

if TYPE_CHECKING:
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from inference.prompts.chat import Prompt
    from registry.models import Model

_MODEL_HELP = "Id, alias or file name of a model."
#: What of a chat request has to do with its prompt.
_TEMPLATE: dict[str, Field] = {
    name: (tools.FIELDS | reasoning.FIELDS)[name]
    for name in ("tools", "chat_template_kwargs", "reasoning_effort")
}
_TEMPLATE_HELP = {
    name: f"As in a chat. {(tools.HELP | reasoning.HELP)[name]}" for name in _TEMPLATE
}
TOKENIZE = Record(
    {
        "model": Text(1, 255),
        "content": Text(),
        "prompt": Text(),
        "messages": Messages(),
        **_TEMPLATE,
        "add_special": Boolean(),
        "add_special_tokens": Boolean(),
        "parse_special": Boolean(),
        "with_pieces": Boolean(),
    },
    ("model",),
    help={
        "model": _MODEL_HELP,
        "content": "A text.",
        "prompt": "The same, by vLLM's name.",
        "messages": "Or a conversation, as the model's chat template writes it.",
        **_TEMPLATE_HELP,
        "add_special": "Put BOS, EOS and SEP where the model wants them. Default: as "
        "llama-server for content (false), as vLLM for prompt and messages (true).",
        "add_special_tokens": "The same, by vLLM's name.",
        "parse_special": "Take special tokens that the text spells out for those. "
        "Default: true.",
        "with_pieces": "Tell the text of each token; bytes where that is none.",
    },
)
DETOKENIZE = Record(
    {"model": Text(1, 255), "tokens": Tokens()},
    ("model", "tokens"),
    help={"model": _MODEL_HELP},
)
APPLY_TEMPLATE = Record(
    {"model": Text(1, 255), "messages": Messages(), **_TEMPLATE},
    ("model", "messages"),
    help={"model": _MODEL_HELP, "messages": "The conversation.", **_TEMPLATE_HELP},
)


class TokenPiece(TypedDict):
    """A token and what it stands for: text, or bytes where that is none."""

    id: int
    piece: str | list[int]


class TokenList(TypedDict):
    """The answer of POST /tokenize."""

    tokens: list[int] | list[TokenPiece]
    count: int


class TokenText(TypedDict):
    """The answer of POST /detokenize: the text under both of its names."""

    content: str
    prompt: str


class TemplatePrompt(TypedDict):
    """The answer of POST /apply-template."""

    prompt: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A request, understood. ``paths`` are the files of a model that is not loaded."""

    job: TokenizeJob | DetokenizeJob
    paths: tuple[str, ...]
    with_pieces: bool = False


class TokenizingView(EngineView):
    """What tokenizing and its inverse have in common."""

    async def say(self, plan: Plan) -> Any:
        """Return the answer: a worker's, or of a vocabulary that is read for it."""
        if not plan.paths:
            (events,) = await self.run_whole([plan.job])
            kinds = (Tokenized, Detokenized)
            return next(event for event in events if isinstance(event, kinds))
        return await get_vocabulary_process().ask(plan.paths, plan.job.question())


class TokenizeView(TokenizingView):
    """POST /tokenize."""

    def prepare(self, request: Request) -> Plan:
        """Return the plan of a request."""
        given = TOKENIZE.parse(request.data)
        _check_text(given)
        model = self.find_model(request, given["model"])
        text, special = _text(given, model)
        return Plan(
            TokenizeJob(
                **_common(model),
                text=text,
                special=special,
                parse_special=given.get("parse_special", True),
            ),
            _unloaded_paths(model),
            with_pieces=given.get("with_pieces", False),
        )

    @tokenize_schema
    async def post(self, request: Request, plan: Plan) -> HttpResponseBase:
        """Turn a text into tokens."""
        said = await self.say(plan)
        answer: TokenList = {
            "tokens": _with_pieces(said) if plan.with_pieces else list(said.tokens),
            "count": len(said.tokens),
        }
        return json_response(answer)


class DetokenizeView(TokenizingView):
    """POST /detokenize."""

    def prepare(self, request: Request) -> Plan:
        """Return the plan of a request."""
        given = DETOKENIZE.parse(request.data)
        model = self.find_model(request, given["model"])
        tokens = tuple(given["tokens"])
        job = DetokenizeJob(**_common(model), tokens=tokens, path="tokens")
        return Plan(job, _unloaded_paths(model))

    @detokenize_schema
    async def post(self, request: Request, plan: Plan) -> HttpResponseBase:
        """Turn tokens into text."""
        text = (await self.say(plan)).text
        answer: TokenText = {"content": text, "prompt": text}
        return json_response(answer)


class ApplyTemplateView(EngineView):
    """POST /apply-template."""

    def prepare(self, request: Request) -> TemplatePrompt:
        """Return the prompt. Raises what prompt_render raises."""
        given = APPLY_TEMPLATE.parse(request.data)
        model = self.find_model(request, given["model"], WRITES)
        return {"prompt": _prompt(given, model).text}

    @template_schema
    async def post(self, request: Request, answer: TemplatePrompt) -> HttpResponseBase:
        """Write a conversation as the model's chat template does."""
        return json_response(answer)


def _common(model: Model) -> dict[str, Any]:
    return {
        "model_id": model.pk,
        "model_name": model.name,
        "timeout_s": settings.CONFIG.engine.queue_timeout,
    }


def _unloaded_paths(model: Model) -> tuple[str, ...]:
    """Return a model's files if no worker has it: it is not loaded for this."""
    return () if is_served(model) else tuple(map(str, model.paths))


def _prompt(given: dict[str, Any], model: Model) -> Prompt:
    return chat.prompt_render(
        model,
        given["messages"],
        tools=given.get("tools", ()),
        variables=given.get("chat_template_kwargs"),
        effort=given.get("reasoning_effort"),
        continues=chat.can_continue(given["messages"]),
    )


def _check_text(given: dict[str, Any]) -> None:
    """Refuse no text, and several, and what goes with another kind of text."""
    texts = [name for name in ("content", "prompt", "messages") if name in given]
    if not texts:
        raise missing("content")
    if len(texts) > 1:
        raise InvalidRequest(
            f"Send one of '{texts[0]}' and '{texts[1]}'.", param=texts[1]
        )
    for name in _TEMPLATE:
        if name in given and "messages" not in given:
            raise InvalidRequest(
                f"'{name}' is only allowed with 'messages'.", param=name
            )
    if "add_special" in given and "add_special_tokens" in given:
        raise InvalidRequest(
            "'add_special' and 'add_special_tokens' mean the same; send one of them.",
            param="add_special_tokens",
        )


def _text(given: dict[str, Any], model: Model) -> tuple[str, bool]:
    """Return the text, and whether the model's special tokens go around it."""
    special = given.get("add_special", given.get("add_special_tokens"))
    if "messages" in given:
        prompt = _prompt(given, model)
        # Where the template has put BOS there must not be a second one.
        return prompt.text, (not prompt.has_bos if special is None else special)
    name = "content" if "content" in given else "prompt"
    text: str = given[name]
    check_sizes({name: len(text.encode())}, name)
    return text, (name == "prompt" if special is None else special)


def _with_pieces(said: Tokenized) -> list[TokenPiece]:
    return [
        {"id": token, "piece": _piece(piece)}
        for token, piece in zip(said.tokens, said.pieces, strict=True)
    ]


def _piece(piece: bytes) -> str | list[int]:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return list(piece)
