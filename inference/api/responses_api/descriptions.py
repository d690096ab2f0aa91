"""The views' descriptions in /openapi.json."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiRequest,
    OpenApiResponse,
    extend_schema,
)

from inference.api.openapi.operations import EVENTS, JSON, Description, ref, refusals

_ERRORS = (400, 401, 403, 404, 405, 408, 413, 415, 424, 429, 500, 503)
_TAG = "Responses"
_INPUT = {"model": "smollm2-135m-instruct", "input": "Name three colours."}
_REQUEST = {**_INPUT, "max_output_tokens": 32}
_ABOUT = {
    "object": "response",
    "created_at": 1767225600,
    "completed_at": 1767225602,
    "model": "smollm2-135m-instruct",
}
_RESPONSE: dict[str, Any] = {
    "id": "resp_0f4c1c2b",
    **_ABOUT,
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "usage": {
        "input_tokens": 31,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 6,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 37,
    },
    "output": [
        {
            "id": "msg_0f4c1c2b0000",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [
                {
                    "type": "output_text",
                    "text": "Red, green and blue.",
                    "annotations": [],
                    "logprobs": [],
                }
            ],
        }
    ],
}
_STREAM = (
    "event: response.created\n"
    'data: {"type":"response.created","sequence_number":0,"response":{…}}\n\n'
    "event: response.output_text.delta\n"
    'data: {"type":"response.output_text.delta","sequence_number":4,…,'
    '"delta":"Red"}\n\n'
    "event: response.completed\n"
    'data: {"type":"response.completed","sequence_number":12,"response":{…}}\n\n'
)

response_schema: Description = extend_schema(
    operation_id="createResponse",
    summary="Answer the items of a conversation",
    tags=[_TAG],
    request={
        JSON: OpenApiRequest(
            ref("ResponseRequest"), examples=[OpenApiExample("Short", _REQUEST)]
        )
    },
    responses={
        (200, JSON): OpenApiResponse(
            ref("Response"),
            description="The answer, whole or as events.",
            examples=[OpenApiExample("Whole", _RESPONSE, media_type=JSON)],
        ),
        (200, EVENTS): OpenApiResponse(
            {
                "description": "With `stream`: OpenAI's events in its order, each with "
                "its `type` as name and a `sequence_number`; comments `: keep-alive` "
                "while nothing comes; `response.completed`, `response.incomplete` or "
                "`response.failed` last."
            },
            examples=[OpenApiExample("Stream", _STREAM, media_type=EVENTS)],
        ),
        **refusals(*_ERRORS),
    },
)
input_tokens_schema: Description = extend_schema(
    operation_id="countResponseInputTokens",
    summary="Count the tokens of a request for a response",
    tags=[_TAG],
    request={
        JSON: OpenApiRequest(
            ref("InputTokensRequest"), examples=[OpenApiExample("Short", _INPUT)]
        )
    },
    responses={
        200: OpenApiResponse(
            ref("InputTokens"),
            description="The count.",
            examples=[
                OpenApiExample(
                    "Count", {"object": "response.input_tokens", "input_tokens": 34}
                )
            ],
        ),
        **refusals(*_ERRORS),
    },
)
