"""The views' descriptions in /openapi.json.

They name the schemas that ``llm_manager.web.openapi_schemas`` makes from the models of
requests and the types of answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiRequest,
    OpenApiResponse,
    extend_schema,
)

_View = TypeVar("_View", bound=Callable[..., Any])


class Description(Protocol):
    """A decorator of a view's handler."""

    def __call__(self, handler: _View, /) -> _View:
        """Return the handler, described."""


JSON = "application/json"
EVENTS = "text/event-stream"

_MEANINGS = {
    400: "The request is refused; `param` names the member at fault.",
    401: "The API key is missing, unknown, revoked or expired.",
    403: "The key may not do this, or not with this model.",
    404: "Nothing has this name.",
    405: "The route does not have this method; `Allow` names those that it has.",
    408: "The answer was not finished within server.request_timeout.",
    409: "It is in use; `message` says by what.",
    413: "The body is larger than limits.max_body_mb.",
    415: "The body's type is not application/json.",
    424: "An MCP server of the request does not answer as it should.",
    429: "The rate limit is reached; `Retry-After` says for how long.",
    500: "The server failed.",
    502: "The hub, or the host of a file, does not answer as it should.",
    503: "No worker can run this now; `Retry-After` says when to try again.",
}
#: Those of some routes only.
_RARE = (409, 424, 502)
_ERRORS_OF_READS = (401, 403, 405, 429, 500, 503)
_ERRORS_OF_COMPLETIONS = tuple(each for each in _MEANINGS if each not in _RARE)

_CHAT_REQUEST = {
    "model": "smollm2-135m-instruct",
    "messages": [{"role": "user", "content": "Name three colours."}],
    "max_tokens": 32,
}
_HEAD = {"created": 1767225600, "model": "smollm2-135m-instruct"}
_USAGE = {
    "prompt_tokens": 34,
    "completion_tokens": 8,
    "total_tokens": 42,
    "prompt_tokens_details": {"cached_tokens": 0},
}
_CHAT_ANSWER = {
    "id": "chatcmpl-0f4c1c2b",
    "object": "chat.completion",
    **_HEAD,
    "system_fingerprint": "fp_5f0a6b1c9d2e",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Red, green and blue.",
                "refusal": None,
            },
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": _USAGE,
}
_TEXT_ANSWER = {
    "id": "cmpl-0f4c1c2b",
    "object": "text_completion",
    **_HEAD,
    "system_fingerprint": "fp_5f0a6b1c9d2e",
    "choices": [
        {"index": 0, "text": " a time", "logprobs": None, "finish_reason": "length"}
    ],
    "usage": _USAGE,
}
_STREAM = (
    'data: {"id":"chatcmpl-0f4c1c2b",…,"choices":[{"index":0,"delta":'
    '{"role":"assistant","content":""},…}]}\n\n'
    'data: {"id":"chatcmpl-0f4c1c2b",…,"choices":[{"index":0,"delta":'
    '{"content":"Red"},…}]}\n\n'
    ": keep-alive\n\n"
    'data: {"id":"chatcmpl-0f4c1c2b",…,"choices":[{"index":0,"delta":{},…,'
    '"finish_reason":"stop"}]}\n\n'
    "data: [DONE]\n\n"
)
_ERROR = {
    "error": {
        "message": "Unknown parameter: 'messages[0].colour'.",
        "type": "invalid_request_error",
        "param": "messages[0].colour",
        "code": "unknown_parameter",
    }
}
_STREAM_NOTE = (
    "With `stream`: events of `data: {chunk}`, comments `: keep-alive` while "
    'nothing comes, an event `data: {"error": …}` if the request fails after '
    "the stream has begun, and `data: [DONE]` last. Each chunk is a "
)


def ref(name: str) -> dict[str, str]:
    """Return a reference to a schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def _errors(*statuses: int) -> dict[Any, Any]:
    return {
        status: OpenApiResponse(
            ref("Error"),
            description=_MEANINGS[status],
            examples=[OpenApiExample("Refused", _ERROR)] if status == 400 else [],
        )
        for status in statuses
    }


def meaning_of(status: int) -> str:
    """Return what a status of an error means."""
    return _MEANINGS[status]


def refusals(*statuses: int) -> dict[Any, Any]:
    """Return the descriptions of refusals with these statuses."""
    return _errors(*statuses)


def _operation(
    operation: str,
    summary: str,
    tag: str,
    request: str,
    example: dict[str, Any],
    answer: str,
    shown: Any,
    chunk: str = "",
    *,
    stream_note: str = "",
    stream_example: str = "",
    errors: dict[Any, Any] | None = None,
) -> Description:
    """Describe a route with a body and an answer, and with examples of both.

    ``chunk`` is the schema of a stream's events, if the answer can be streamed.
    """
    # Without a type: tools disagree on whether it is the stream's or an event's.
    stream = OpenApiResponse(
        {"description": stream_note or f"{_STREAM_NOTE}{chunk}."},
        examples=[
            OpenApiExample("Stream", stream_example or _STREAM, media_type=EVENTS)
        ],
    )
    whole = OpenApiResponse(
        ref(answer),
        description="The answer, whole or as events."
        if chunk or stream_note
        else "The answer.",
        examples=[OpenApiExample("Whole", shown, media_type=JSON)],
    )
    return extend_schema(
        operation_id=operation,
        summary=summary,
        tags=[tag],
        request={
            JSON: OpenApiRequest(
                ref(request), examples=[OpenApiExample("Short", example)]
            )
        },
        responses={
            (200, JSON): whole,
            **({(200, EVENTS): stream} if chunk or stream_note else {}),
            **(errors or _errors(*_ERRORS_OF_COMPLETIONS)),
        },
    )


MODEL_ID = OpenApiParameter(
    "model_id",
    OpenApiTypes.STR,
    OpenApiParameter.PATH,
    description="Id, alias or file name; slashes need no escape.",
)


def _about_model(
    operation: str, summary: str, request: Any, *statuses: int, note: str = ""
) -> Description:
    successes = {
        status: OpenApiResponse(ref("Model"), description=note or "The model.")
        for status in statuses
    }
    errors = (404, *_ERRORS_OF_READS)
    return extend_schema(
        operation_id=operation,
        summary=summary,
        tags=["Models"],
        parameters=[MODEL_ID],
        request=request,
        responses={
            **successes,
            **_errors(*errors, *((400, 413, 415) if request else ())),
        },
    )


chat_schema = _operation(
    "createChatCompletion",
    "Answer a conversation",
    "Completions",
    "ChatCompletionRequest",
    _CHAT_REQUEST,
    "ChatCompletion",
    _CHAT_ANSWER,
    "ChatCompletionChunk",
)
completion_schema = _operation(
    "createCompletion",
    "Continue a text",
    "Completions",
    "CompletionRequest",
    {"model": _HEAD["model"], "prompt": "Once upon"},
    "Completion",
    _TEXT_ANSWER,
    "Completion",
)
_EMBEDDER = "all-MiniLM-L6-v2.Q8_0"
_RANKER = "bge-reranker-v2-m3"
embedding_schema = _operation(
    "createEmbedding",
    "Make vectors of texts",
    "Embeddings",
    "EmbeddingRequest",
    {"model": _EMBEDDER, "input": ["The cat sits on the mat.", "A feline rests."]},
    "EmbeddingList",
    {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.6, -0.8]},
            {"object": "embedding", "index": 1, "embedding": [0.8, -0.6]},
        ],
        "model": _EMBEDDER,
        "usage": {"prompt_tokens": 15, "total_tokens": 15},
    },
)
rerank_schema = _operation(
    "createRerank",
    "Order documents by a query",
    "Embeddings",
    "RerankRequest",
    {
        "model": _RANKER,
        "query": "What do cats eat?",
        "documents": ["Interest rates rose.", "Cats eat fish."],
    },
    "Ranking",
    {
        "id": "rerank-0f4c1c2b",
        "object": "list",
        "model": _RANKER,
        "results": [
            {"index": 1, "relevance_score": 4.2},
            {"index": 0, "relevance_score": -9.8},
        ],
        "usage": {"prompt_tokens": 25, "total_tokens": 25},
    },
)
tokenize_schema = _operation(
    "tokenize",
    "Turn a text into tokens",
    "Tokens",
    "TokenizeRequest",
    {"model": _HEAD["model"], "content": "Once upon"},
    "TokenList",
    {"tokens": [10576, 4299], "count": 2},
)
detokenize_schema = _operation(
    "detokenize",
    "Turn tokens into text",
    "Tokens",
    "DetokenizeRequest",
    {"model": _HEAD["model"], "tokens": [10576, 4299]},
    "TokenText",
    {"content": "Once upon", "prompt": "Once upon"},
)
template_schema = _operation(
    "applyTemplate",
    "Write a conversation with the model's chat template",
    "Tokens",
    "ApplyTemplateRequest",
    {key: _CHAT_REQUEST[key] for key in ("model", "messages")},
    "TemplatePrompt",
    {"prompt": "<|im_start|>user\nName three colours.<|im_end|>\n"},
)
_ANTHROPIC_ERROR = {
    "type": "error",
    "error": {
        "type": "invalid_request_error",
        "message": "Unknown parameter: 'messages[0].colour'.",
    },
    "request_id": "0f4c1c2b",
}
#: Anthropic's statuses for a timeout and for a server that is busy.
_ANTHROPIC_STATUSES = {408: 504, 503: 529}
_ANTHROPIC_ERRORS = {
    _ANTHROPIC_STATUSES.get(status, status): OpenApiResponse(
        ref("AnthropicError"),
        description=meaning,
        examples=[OpenApiExample("Refused", _ANTHROPIC_ERROR)] if status == 400 else [],
    )
    for status, meaning in _MEANINGS.items()
}
_MESSAGE_USAGE = {
    "input_tokens": 34,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "output_tokens": 8,
}
_MESSAGE = {
    "id": "msg_0f4c1c2b",
    "type": "message",
    "role": "assistant",
    "model": _HEAD["model"],
    "content": [{"type": "text", "text": "Red, green, blue."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": _MESSAGE_USAGE,
}
_MESSAGE_STREAM = (
    'event: message_start\ndata: {"type":"message_start","message":{…}}\n\n'
    'event: ping\ndata: {"type":"ping"}\n\n'
    'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
    '"content_block":{"type":"text","text":""}}\n\n'
    'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    '"delta":{"type":"text_delta","text":"Red"}}\n\n'
    'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":'
    '"end_turn","stop_sequence":null},"usage":{…}}\n\n'
    'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)
message_schema = _operation(
    "createMessage",
    "Answer a conversation, in Anthropic's API",
    "Anthropic's API",
    "MessagesRequest",
    _CHAT_REQUEST,
    "MessageAnswer",
    _MESSAGE,
    stream_note="With `stream`: Anthropic's events in their order, each with its name, "
    "pings while nothing comes, and an event `error` if the request fails after the "
    "stream has begun.",
    stream_example=_MESSAGE_STREAM,
    errors=_ANTHROPIC_ERRORS,
)
count_tokens_schema = _operation(
    "countMessageTokens",
    "Count the tokens of a conversation, in Anthropic's API",
    "Anthropic's API",
    "CountTokensRequest",
    {key: _CHAT_REQUEST[key] for key in ("model", "messages")},
    "TokenCount",
    {"input_tokens": 34},
    errors=_ANTHROPIC_ERRORS,
)
model_list_schema: Description = extend_schema(
    operation_id="listModels",
    summary="List the models",
    tags=["Models"],
    responses={
        200: OpenApiResponse(
            ref("ModelList"), description="The models that the key may use."
        ),
        **_errors(*_ERRORS_OF_READS),
    },
)
model_schema = _about_model("retrieveModel", "Describe a model", None, 200)
load_schema = _about_model(
    "loadModel",
    "Load a model",
    {JSON: ref("LoadRequest")},
    200,
    202,
    note="The model: 200 when it is ready, 202 while it loads.",
)
unload_schema = _about_model(
    "unloadModel", "Unload a model", {JSON: ref("UnloadRequest")}, 200
)
health_schema: Description = extend_schema(
    operation_id="health",
    summary="Whether the web process runs",
    tags=["Operation"],
    responses={
        200: OpenApiResponse(ref("Health"), description="The web process runs.")
    },
)
detailed_health_schema: Description = extend_schema(
    operation_id="detailedHealth",
    summary="Whether requests can be served, part by part",
    tags=["Operation"],
    responses={
        200: OpenApiResponse(
            ref("DetailedHealth"), description="Requests can be served."
        ),
        **_errors(401, 403, 405, 500),
        503: OpenApiResponse(
            ref("DetailedHealth"), description="Requests cannot be served."
        ),
    },
)


def _query(name: str, about: str) -> OpenApiParameter:
    return OpenApiParameter(
        name, OpenApiTypes.STR, OpenApiParameter.QUERY, description=about
    )


usage_schema: Description = extend_schema(
    operation_id="retrieveUsage",
    summary="Add up requests, tokens and cost",
    tags=["Usage"],
    parameters=[
        _query("since", "First day: a date, or `7d` for seven days ago. Default: 30d."),
        _query("until", "Last day. Default: `0d`, today."),
        _query(
            "by",
            "What to add up by, separated by commas: day, model and, with the scope "
            "`admin`, key, owner, team. Default: day.",
        ),
        _query("key", "The prefix of a key, `sk-llmm-` and twelve digits."),
        _query("owner", "The name of a user; needs the scope `admin`."),
        _query("team", "The name of a team; needs the scope `admin`."),
        _query("model", "The id of a model."),
    ],
    responses={
        200: OpenApiResponse(ref("UsageList"), description="The sums."),
        **_errors(400, 401, 403, 405, 429, 500, 503),
    },
)
metrics_schema: Description = extend_schema(
    operation_id="metrics",
    summary="Metrics for Prometheus",
    tags=["Operation"],
    responses={
        (200, "text/plain"): OpenApiResponse(
            OpenApiTypes.STR, description="Metrics in Prometheus' text format."
        ),
        **_errors(401, 403, 405, 500, 503),
    },
)
hidden: Description = extend_schema(exclude=True)
