"""The bodies of requests: from JSON to frozen dataclasses, by one declaration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inference.api.chat import tools
from inference.api.chat.messages import Content, Messages
from inference.api.completions.prompts import Prompts
from inference.api.declarations import unsupported as compatibility
from inference.api.declarations.fields import Boolean, Choice, Field, Integer, Text
from inference.api.declarations.records import Record
from inference.api.errors import InvalidRequest
from inference.api.parameters import lora as adapters
from inference.api.parameters import reasoning, sampling
from inference.api.parameters import structured_output as grammars
from inference.api.text_limits import check_sizes
from inference.prompts.chat import can_continue
from inference.prompts.effort import BUDGET

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inference.api.chat.tools import ToolUse
    from inference.prompts.messages import Message

#: An id, and perhaps an adapter's after it.
MODEL_NAME = Text(1, 511)
MAX_CHOICES = 16
MAX_SEQUENCES = 128
MAX_PRIORITY = 100
#: OpenAI's limit in chats; its text completions allow 5.
MAX_LOGPROBS = 20
#: OpenAI's own default for text completions.
COMPLETION_MAX_TOKENS = 16

#: vLLM's names.
_CONTINUE = "continue_final_message"
_ANEW = "add_generation_prompt"

_COMMON: dict[str, Field] = {
    **sampling.FIELDS,
    **grammars.FIELDS,
    **adapters.FIELDS,
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
    **grammars.HELP,
    **adapters.HELP,
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
        "model": MODEL_NAME,
        "messages": Messages(),
        **_COMMON,
        "max_completion_tokens": Integer(1, sampling.MAX_TOKENS),
        _CONTINUE: Boolean(),
        _ANEW: Boolean(),
        "logprobs": Boolean(),
        "top_logprobs": Integer(0, MAX_LOGPROBS),
        "prediction": Record(
            {"type": Choice(("content",)), "content": Content()}, ("type", "content")
        ),
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
        _CONTINUE: "Go on with the last message instead of answering it. Default: "
        "true where it is the assistant's. Not in OpenAI's API.",
        _ANEW: "The opposite. Not in OpenAI's API.",
        "logprobs": "Tell how likely each token was, before any sampler.",
        "top_logprobs": "Tell so many of the likeliest tokens too; with logprobs.",
        "prediction": "Text that the answer may repeat. It changes no answer: where "
        "the answer is that text, it comes faster.",
        **tools.HELP,
        **reasoning.HELP,
    },
)
COMPLETION = Record(
    {
        "model": MODEL_NAME,
        "prompt": Prompts(),
        "suffix": Text(),
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
        "suffix": "What comes after the answer, which then fills in the middle; for "
        "models of the capability infill. Not with echo.",
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
    prediction: str = ""
    lora: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """POST /v1/chat/completions.

    ``effort`` is how long the model is to think, ``budget`` how many tokens at most;
    ``shows_reasoning`` leaves what it thinks in its content. With ``continues`` the
    last message is the answer's beginning.
    """

    options: Options
    messages: tuple[Message, ...]
    tool_use: ToolUse
    template_variables: Mapping[str, Any]
    effort: str | None
    budget: int | None
    shows_reasoning: bool
    continues: bool


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """POST /v1/completions."""

    options: Options
    prompts: tuple[str | list[int], ...]
    suffix: str
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
    use = tools.tool_use(given, options.sampling.get("grammar"))
    return ChatRequest(
        options,
        given["messages"],
        use,
        {
            name: value
            for name, value in given.get("chat_template_kwargs", {}).items()
            if name != BUDGET
        },
        reasoning.effort_of(given),
        reasoning.budget_of(given),
        given.get("reasoning_format") == "none",
        _continues(given, options, use),
    )


def _continues(given: dict[str, Any], options: Options, use: ToolUse) -> bool:
    """Return whether the last message is to be continued. Raises InvalidRequest."""
    messages: tuple[Message, ...] = given["messages"]
    begins_anew = given.get(_ANEW)
    continues: bool = given.get(_CONTINUE, can_continue(messages) and not begins_anew)
    if continues and not can_continue(messages):
        raise InvalidRequest(
            f"'{_CONTINUE}' needs a last message of the assistant's, after others.",
            param=_CONTINUE,
        )
    if begins_anew is not None and begins_anew == continues:
        raise InvalidRequest(
            f"'{_ANEW}' is the opposite of '{_CONTINUE}'; send one of them.",
            param=_ANEW,
        )
    is_bound = "grammar" in options.sampling or use.must_call or use.is_strict
    if continues and messages[-1].content and is_bound:
        raise InvalidRequest(
            "An answer that has begun cannot be made to match anything: its beginning "
            f"is given. Leave the last message, or '{_CONTINUE}': false, or what it is "
            "to match.",
            param=_CONTINUE,
        )
    return continues


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
    return CompletionRequest(options, prompts, _suffix_of(given), echo)


def _suffix_of(given: dict[str, Any]) -> str:
    suffix: str = given.get("suffix", "")
    check_sizes({"suffix": len(suffix.encode())}, "suffix")
    if suffix and given.get("echo"):
        raise InvalidRequest(
            "'echo' cannot be had with 'suffix': the answer comes between the two.",
            param="echo",
        )
    return suffix


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
    grammar = grammars.grammar_of(given)
    if grammar is not None:
        sampled["grammar"] = grammar
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
        prediction=given.get("prediction", {}).get("content", ""),
        lora=tuple(given.get("lora", ())),
    )
