"""The bodies of requests: from JSON to frozen dataclasses, by one declaration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inference.openai import compatibility, constraints, reasoning, sampling, tools
from inference.openai.errors import InvalidRequest
from inference.openai.fields import Boolean, Field, Integer, Text
from inference.openai.messages import Messages
from inference.openai.prompts import Prompts
from inference.openai.records import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inference.chat_messages import Message
    from inference.openai.tools import ToolUse

MAX_CHOICES = 16
MAX_SEQUENCES = 128
MAX_PRIORITY = 100
#: OpenAI's limit in chats; its text completions allow 5.
MAX_LOGPROBS = 20
#: OpenAI's own default for text completions.
COMPLETION_MAX_TOKENS = 16

_COMMON: dict[str, Field] = {
    **sampling.FIELDS,
    **constraints.FIELDS,
    "max_tokens": Integer(1, sampling.MAX_TOKENS),
    "n": Integer(1, MAX_CHOICES),
    "stream": Boolean(),
    "stream_options": Record(
        {"include_usage": Boolean()}, inert=compatibility.STREAM_OPTIONS
    ),
    "user": Text(max_length=1024),
    "priority": Integer(-MAX_PRIORITY, MAX_PRIORITY),
}
_HELP = {
    **sampling.HELP,
    **constraints.HELP,
    "model": "Id, alias or file name of a model, as GET /v1/models lists them.",
    "n": "Answers to each prompt. Its tokens are counted once.",
    "stream": "Send the answer as server-sent events while it is made.",
    "stream_options": "Only with stream; include_usage adds a last chunk with the "
    "usage.",
    "user": "Accepted and not used.",
    "priority": "Of your key's waiting requests the one of the lowest number starts "
    "first. Default: 0. Not in OpenAI's API.",
}
CHAT = Record(
    {
        "model": Text(1, 255),
        "messages": Messages(),
        **_COMMON,
        "max_completion_tokens": Integer(1, sampling.MAX_TOKENS),
        "logprobs": Boolean(),
        "top_logprobs": Integer(0, MAX_LOGPROBS),
        **tools.FIELDS,
        **reasoning.FIELDS,
    },
    ("model", "messages"),
    compatibility.CHAT,
    {
        **_HELP,
        "messages": "The conversation. The limits are the configuration's.",
        "max_tokens": "Tokens of the answer, at most. Default: the model's own, else "
        "the configuration's.",
        "max_completion_tokens": "The same as max_tokens.",
        "logprobs": "Tell how likely each token was, before any sampler.",
        "top_logprobs": "Tell so many of the likeliest tokens too; with logprobs.",
        **tools.HELP,
        **reasoning.HELP,
    },
)
COMPLETION = Record(
    {
        "model": Text(1, 255),
        "prompt": Prompts(),
        **_COMMON,
        "max_tokens": Integer(0, sampling.MAX_TOKENS),
        "logprobs": Integer(0, MAX_LOGPROBS),
        "echo": Boolean(),
        "best_of": Integer(1, MAX_CHOICES),
    },
    ("model", "prompt"),
    compatibility.COMPLETION,
    {
        **_HELP,
        "prompt": f"One prompt or up to 100; prompts times n is at most "
        f"{MAX_SEQUENCES}.",
        "max_tokens": f"Tokens of the answer, at most; 0 only with echo. Default: "
        f"{COMPLETION_MAX_TOKENS}.",
        "logprobs": "Tell how likely each token was, before any sampler, and so many "
        "of the likeliest ones.",
        "echo": "Begin the answer with the prompt; with logprobs its tokens are told "
        "too.",
        "best_of": "Write so many answers and return the n that are likeliest by "
        "their mean logprob. All are counted. Not with stream. Default: n.",
    },
)
LOAD = Record(
    {"wait": Boolean()},
    help={"wait": "Answer when the model is ready. Default: true."},
)
UNLOAD = Record({})


@dataclass(frozen=True, slots=True)
class Options:
    """What both kinds of completion have in common; None is not given.

    ``logprobs`` is how many of the likeliest tokens are told beside each; of
    ``best_of`` answers to a prompt the best ``n`` are returned.
    """

    model: str
    sampling: dict[str, Any]
    max_tokens: int | None
    n: int
    stream: bool
    include_usage: bool
    priority: int
    logprobs: int | None
    best_of: int


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """POST /v1/chat/completions.

    ``effort`` is how long the model is to think; ``shows_reasoning`` leaves what it
    thinks in its content.
    """

    options: Options
    messages: tuple[Message, ...]
    tool_use: ToolUse
    template_variables: Mapping[str, Any]
    effort: str | None
    shows_reasoning: bool


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """POST /v1/completions."""

    options: Options
    prompts: tuple[str | list[int], ...]
    echo: bool


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
    logprobs = given.get("top_logprobs", 0) if given.get("logprobs") else None
    if logprobs is None and given.get("top_logprobs"):
        raise InvalidRequest(
            "'top_logprobs' is only allowed with 'logprobs': true.",
            param="top_logprobs",
        )
    options = _options(given, max_tokens=next(iter(limits), None), logprobs=logprobs)
    return ChatRequest(
        options,
        given["messages"],
        tools.tool_use(given, options.sampling.get("constraint")),
        given.get("chat_template_kwargs", {}),
        given.get("reasoning_effort"),
        given.get("reasoning_format") == "none",
    )


def parse_completion(body: Any) -> CompletionRequest:
    """Return the request of a body. Raises InvalidRequest."""
    given = COMPLETION.parse(body)
    options = _options(
        given, max_tokens=given.get("max_tokens"), logprobs=given.get("logprobs")
    )
    prompts: tuple[str | list[int], ...] = given["prompt"]
    echo = given.get("echo", False)
    if options.max_tokens == 0 and not echo:
        raise InvalidRequest(
            "'max_tokens' may be 0 only with 'echo': true.", param="max_tokens"
        )
    _check_best_of(options)
    several = "best_of" if options.best_of > options.n else "n"
    if len(prompts) * options.best_of > MAX_SEQUENCES:
        raise InvalidRequest(
            f"{len(prompts)} prompts with {several}={options.best_of} are "
            f"{len(prompts) * options.best_of} answers, and at most {MAX_SEQUENCES} "
            "are allowed.",
            param=several,
        )
    return CompletionRequest(options, prompts, echo)


def _check_best_of(options: Options) -> None:
    if options.best_of < options.n:
        raise InvalidRequest(
            f"'best_of' is {options.best_of}, which is less than 'n', {options.n}.",
            param="best_of",
        )
    if options.best_of > options.n and options.stream:
        raise InvalidRequest(
            "The best of several answers cannot be streamed: which one it is shows at "
            "the end. Leave 'best_of' or 'stream' out.",
            param="best_of",
        )


def _options(
    given: dict[str, Any], *, max_tokens: int | None, logprobs: int | None
) -> Options:
    stream = given.get("stream", False)
    if "stream_options" in given and not stream:
        raise InvalidRequest(
            "'stream_options' is only allowed with 'stream': true.",
            param="stream_options",
        )
    sampled = {name: given[name] for name in sampling.FIELDS if name in given}
    constraint = constraints.constraint_of(given)
    if constraint is not None:
        sampled["constraint"] = constraint
    return Options(
        model=given["model"],
        sampling=sampled,
        max_tokens=max_tokens,
        n=given.get("n", 1),
        stream=stream,
        include_usage=given.get("stream_options", {}).get("include_usage", False),
        priority=given.get("priority", 0),
        logprobs=logprobs,
        best_of=given.get("best_of", given.get("n", 1)),
    )
