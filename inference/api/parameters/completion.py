"""What requests for chats and for text completions have in common."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from inference.api.body.request_body import Body
from inference.api.body.unsupported import Unsupported
from inference.api.errors import BadRequest
from inference.api.parameters.lora import LoraParameters
from inference.api.parameters.priority import PriorityParameter
from inference.api.parameters.structured_output import StructuredOutputParameters
from inference.api.parameters.value_types import Between

MAX_CHOICES = 16
#: OpenAI's limit in chats; its text completions allow 5.
MAX_LOGPROBS = 20


class StreamOptions(Body):
    """What a stream has besides the answer."""

    include_usage: bool = False
    """Add a last chunk with the usage."""
    include_obfuscation: Annotated[Any, Unsupported((False,))] = None


class CompletionParameters(
    StructuredOutputParameters, LoraParameters, PriorityParameter
):
    """A request for answers that a model writes."""

    model: Annotated[str, Field(min_length=1, max_length=511)]
    """Id, alias or file name of a model, as GET /v1/models lists them."""
    n: Annotated[int, Between(1, MAX_CHOICES)] = 1
    """Answers to each prompt, whose tokens are counted once."""
    stream: bool = False
    """Send the answer as server-sent events while it is made."""
    stream_options: StreamOptions | None = None
    """Only with stream."""
    user: Annotated[str, Field(max_length=1024)] | None = None
    """Accepted and not used."""

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with the usage."""
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def num_sequences(self) -> int:
        """Answers to each prompt that the model writes."""
        return self.n

    @property
    def num_logprobs(self) -> int | None:
        """The likeliest tokens beside each token of an answer; None is no logprobs."""
        raise NotImplementedError

    @property
    def predicted_text(self) -> str:
        """Text that the answer may repeat."""
        return ""

    @model_validator(mode="after")
    def _check_stream_options(self) -> CompletionParameters:
        if self.stream_options is not None and not self.stream:
            raise BadRequest(
                "'stream_options' is only allowed with 'stream': true.",
                param="stream_options",
            )
        return self
