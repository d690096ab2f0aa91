"""The bodies of requests: from JSON to frozen dataclasses, by one declaration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inference.openai import compatibility, sampling
from inference.openai.errors import InvalidRequest
from inference.openai.fields import Boolean, Field, Integer, Text
from inference.openai.messages import Messages
from inference.openai.prompts import Prompts
from inference.openai.records import Record

if TYPE_CHECKING:
    from inference.chat import Message

MAX_CHOICES = 16
MAX_SEQUENCES = 128
#: OpenAI's own default for text completions.
COMPLETION_MAX_TOKENS = 16

_COMMON: dict[str, Field] = {
    **sampling.FIELDS,
    "max_tokens": Integer(1, sampling.MAX_TOKENS),
    "n": Integer(1, MAX_CHOICES),
    "stream": Boolean(),
    "stream_options": Record(
        {"include_usage": Boolean()}, inert=compatibility.STREAM_OPTIONS
    ),
    "user": Text(max_length=1024),
}
_HELP = {
    **sampling.HELP,
    "model": "Id, alias or file name of a model, as GET /v1/models lists them.",
    "n": "Answers to each prompt. Its tokens are counted once.",
    "stream": "Send the answer as server-sent events while it is made.",
    "stream_options": "Only with stream; include_usage adds a last chunk with the "
    "usage.",
    "user": "Accepted and not used.",
}
CHAT = Record(
    {
        "model": Text(1, 255),
        "messages": Messages(),
        **_COMMON,
        "max_completion_tokens": Integer(1, sampling.MAX_TOKENS),
    },
    ("model", "messages"),
    compatibility.CHAT,
    {
        **_HELP,
        "messages": "The conversation. The limits are the configuration's.",
        "max_tokens": "Tokens of the answer, at most. Default: the model's own, else "
        "the configuration's.",
        "max_completion_tokens": "The same as max_tokens.",
    },
)
COMPLETION = Record(
    {"model": Text(1, 255), "prompt": Prompts(), **_COMMON},
    ("model", "prompt"),
    compatibility.COMPLETION,
    {
        **_HELP,
        "prompt": f"One prompt or up to 100; prompts times n is at most "
        f"{MAX_SEQUENCES}.",
        "max_tokens": f"Tokens of the answer, at most. Default: "
        f"{COMPLETION_MAX_TOKENS}.",
    },
)
LOAD = Record(
    {"wait": Boolean()},
    help={"wait": "Answer when the model is ready. Default: true."},
)
UNLOAD = Record({})


@dataclass(frozen=True, slots=True)
class Options:
    """What both kinds of completion have in common; None is not given."""

    model: str
    sampling: dict[str, Any]
    max_tokens: int | None
    n: int
    stream: bool
    include_usage: bool


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """POST /v1/chat/completions."""

    options: Options
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """POST /v1/completions."""

    options: Options
    prompts: tuple[str | list[int], ...]


def parse_chat(body: Any) -> ChatRequest:
    """Return the request of a body. Raises InvalidRequest."""
    given = CHAT.parse(body)
    limits = {
        given[name] for name in ("max_tokens", "max_completion_tokens") if name in given
    }
    if len(limits) > 1:
        raise InvalidRequest(
            "'max_tokens' and 'max_completion_tokens' mean the same and differ; send "
            "one of them.",
            param="max_completion_tokens",
        )
    options = _options(given, max_tokens=next(iter(limits), None))
    return ChatRequest(options, given["messages"])


def parse_completion(body: Any) -> CompletionRequest:
    """Return the request of a body. Raises InvalidRequest."""
    given = COMPLETION.parse(body)
    options = _options(given, max_tokens=given.get("max_tokens"))
    prompts: tuple[str | list[int], ...] = given["prompt"]
    if len(prompts) * options.n > MAX_SEQUENCES:
        raise InvalidRequest(
            f"{len(prompts)} prompts with n={options.n} are "
            f"{len(prompts) * options.n} answers, and at most {MAX_SEQUENCES} are "
            "allowed.",
            param="n",
        )
    return CompletionRequest(options, prompts)


def _options(given: dict[str, Any], *, max_tokens: int | None) -> Options:
    stream = given.get("stream", False)
    if "stream_options" in given and not stream:
        raise InvalidRequest(
            "'stream_options' is only allowed with 'stream': true.",
            param="stream_options",
        )
    return Options(
        model=given["model"],
        sampling={name: given[name] for name in sampling.FIELDS if name in given},
        max_tokens=max_tokens,
        n=given.get("n", 1),
        stream=stream,
        include_usage=given.get("stream_options", {}).get("include_usage", False),
    )
