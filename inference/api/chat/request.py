"""The body of POST /v1/chat/completions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import model_validator

from inference.api.body.request_body import Body
from inference.api.body.unsupported import Unsupported
from inference.api.chat.conversation import text_of
from inference.api.chat.functions import FormerTools
from inference.api.chat.messages import Content, Messages
from inference.api.chat.reasoning import ReasoningParameters
from inference.api.chat.tools import ToolChoice
from inference.api.errors import BadRequest
from inference.api.parameters.completion import MAX_LOGPROBS, CompletionParameters
from inference.api.parameters.json_object import AnyJson
from inference.api.parameters.value_types import Between, TokenLimit

_MAX_METADATA_BYTES = 16 * 1024
_TEXT_ONLY = " Models here answer with text."
_NOT_MODERATED = " Nothing here moderates."


class Prediction(Body):
    """Text that the answer is expected to repeat."""

    type: Literal["content"]
    content: Content


class UnsupportedChatParameters(Body):
    """OpenAI's members that are not supported."""

    audio: Annotated[Any, Unsupported(hint=_TEXT_ONLY)] = None
    modalities: Annotated[Any, Unsupported((["text"],), hint=_TEXT_ONLY)] = None
    moderation: Annotated[Any, Unsupported(hint=_NOT_MODERATED)] = None
    prompt_cache_key: Annotated[Any, Unsupported(may_be_left_out=True)] = None
    prompt_cache_options: Annotated[Any, Unsupported(may_be_left_out=True)] = None
    prompt_cache_retention: Annotated[Any, Unsupported(may_be_left_out=True)] = None
    safety_identifier: Annotated[Any, Unsupported(may_be_left_out=True)] = None
    service_tier: Annotated[
        Any, Unsupported(("auto", "default"), may_be_left_out=True)
    ] = None
    store: Annotated[Any, Unsupported((False,), may_be_left_out=True)] = None
    verbosity: Annotated[Any, Unsupported(may_be_left_out=True)] = None
    web_search_options: Annotated[
        Any, Unsupported(hint=" Nothing here searches the web.")
    ] = None


class ChatCompletionRequest(
    UnsupportedChatParameters, FormerTools, CompletionParameters, ReasoningParameters
):
    """A conversation, and how to answer it."""

    messages: Messages
    """The conversation. The configuration limits its size."""
    max_tokens: TokenLimit | None = None
    """The maximum number of tokens of the answer; -1 is no limit but the context.
    Default: the model's own, else the configuration's."""
    max_completion_tokens: TokenLimit | None = None
    """The same as max_tokens."""
    metadata: Annotated[dict[str, Any], AnyJson(_MAX_METADATA_BYTES)] = {}
    """Labels of the request: kept with its usage."""
    # vLLM's names.
    continue_final_message: bool | None = None
    """Continue the last message instead of answering it. Default: true if it is the
    assistant's. Not in OpenAI's API."""
    add_generation_prompt: bool | None = None
    """The opposite of continue_final_message. Not in OpenAI's API."""
    logprobs: bool = False
    """Return the logprob of each token, from the model's logits before any sampler."""
    top_logprobs: Annotated[int, Between(0, MAX_LOGPROBS)] = 0
    """Return this many of the most likely tokens too. Requires logprobs."""
    prediction: Prediction | None = None
    """Text that the answer is expected to repeat. It never changes the answer: where it
    is right, the answer comes faster."""
    tool_choice: ToolChoice = "auto"
    """none, auto, required, the name of one function, or the allowed tools. Required
    calls always match their schema."""
    parallel_tool_calls: bool = True
    """Allow several calls in one answer, if the model's template supports it."""

    @property
    def num_logprobs(self) -> int | None:
        """How many alternatives each token's logprobs have; None is no logprobs."""
        return self.top_logprobs if self.logprobs else None

    @property
    def predicted_text(self) -> str:
        """Text that the answer is expected to repeat."""
        return "" if self.prediction is None else text_of(self.prediction.content)

    @property
    def token_limit(self) -> int | None:
        """The maximum number of tokens of the answer, if requested; -1 is none."""
        return self.max_tokens or self.max_completion_tokens

    @model_validator(mode="after")
    def _check_chat(self) -> ChatCompletionRequest:
        both = (self.max_tokens, self.max_completion_tokens)
        if None not in both and self.max_tokens != self.max_completion_tokens:
            raise BadRequest(
                "'max_tokens' and 'max_completion_tokens' mean the same and differ; "
                "send one of them.",
                param="max_completion_tokens",
            )
        if self.top_logprobs and not self.logprobs:
            raise BadRequest(
                "'top_logprobs' is only allowed with 'logprobs': true.",
                param="top_logprobs",
            )
        return self
