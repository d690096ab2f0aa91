"""OpenAI's own client, as the measure of what its API has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openai.types import completion_create_params as text
from openai.types import embedding_create_params as embedding
from openai.types.chat import completion_create_params as chat
from openai.types.responses import input_token_count_params as input_tokens
from openai.types.responses import response_create_params as responses

from inference.api.chat.request import ChatCompletionRequest
from inference.api.completions.request import CompletionRequest
from inference.api.embeddings.request import EmbeddingRequest
from inference.api.parameters.completion import ForeignHints
from inference.api.parameters.sampling import SamplingParameters
from inference.api.responses_api.body.request import InputTokensRequest, ResponseRequest

if TYPE_CHECKING:
    from inference.api.body.request_body import Body

#: What is served here and OpenAI's API has not.
OURS = {
    name
    for name, field in ChatCompletionRequest.model_fields.items()
    if "Not in OpenAI" in " ".join((field.description or "").split())
} | set(ForeignHints.model_fields)


def members_of(request: type[Body]) -> set[str]:
    """Return every member that a request may name without being unknown."""
    return set(request.model_fields)


def test_every_member_of_a_chat_request_is_served_or_refused_by_name() -> None:
    theirs = {*chat.CompletionCreateParamsBase.__annotations__, "stream"}

    assert members_of(ChatCompletionRequest) - OURS == theirs


def test_every_member_of_a_completion_request_is_served_or_refused_by_name() -> None:
    theirs = {*text.CompletionCreateParamsBase.__annotations__, "stream"}

    # OpenAI's text completions know no formats; everybody else's do.
    assert members_of(CompletionRequest) - OURS - {"response_format"} == theirs


def test_every_member_of_a_response_request_is_served_or_refused_by_name() -> None:
    theirs = {*responses.ResponseCreateParamsBase.__annotations__, "stream"}

    ours = members_of(ResponseRequest) - theirs - {*SamplingParameters.model_fields}

    assert theirs <= members_of(ResponseRequest)
    # Codex sends client_metadata.
    assert ours - OURS == {"client_metadata"}


def test_every_member_of_a_count_of_input_tokens_is_taken() -> None:
    theirs = {*input_tokens.InputTokenCountParams.__annotations__}

    assert theirs <= members_of(InputTokensRequest)


def test_every_member_of_an_embedding_request_is_served() -> None:
    theirs = {*embedding.EmbeddingCreateParams.__annotations__}

    assert members_of(EmbeddingRequest) - OURS == theirs
