"""The parameters that chats and text completions have in common."""

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
    """What a stream contains besides the answer."""

    include_usage: bool = False
    """Add a last chunk with the usage."""
    include_obfuscation: Annotated[Any, Unsupported((False,))] = None


class ForeignHints(Body):
    """Hints of llama-server's and Ollama's clients, which have no effect here."""

    cache_prompt: Annotated[Any, Unsupported((True,), may_be_left_out=True)] = None
    id_slot: Annotated[Any, Unsupported((-1,), may_be_left_out=True)] = None
    keep_alive: Annotated[Any, Unsupported(may_be_left_out=True)] = None


class CompletionParameters(
    StructuredOutputParameters, LoraParameters, PriorityParameter, ForeignHints
):
    """A request for answers that a model writes."""

    model: Annotated[str, Field(min_length=1, max_length=511)]
    """Id, alias or file name of a model, as in GET /v1/models."""
    n: Annotated[int, Between(1, MAX_CHOICES)] = 1
    """How many answers to return for each prompt. Usage counts a prompt's tokens
    once."""
    stream: bool = False
    """Send the answer as server-sent events while it is generated."""
    stream_options: StreamOptions | None = None
    """Only with stream."""
    user: Annotated[str, Field(max_length=1024)] | None = None
    """Accepted and ignored."""

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with the usage."""
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def num_sequences(self) -> int:
        """How many answers the model generates for each prompt."""
        return self.n

    @property
    def num_logprobs(self) -> int | None:
        """How many alternatives each token's logprobs have; None is no logprobs."""
        raise NotImplementedError

    @property
    def predicted_text(self) -> str:
        """Text that the answer is expected to repeat."""
        return ""

    @model_validator(mode="after")
    def _check_stream_options(self) -> CompletionParameters:
        if self.stream_options is not None and not self.stream:
            raise BadRequest(
                "'stream_options' is only allowed with 'stream': true.",
                param="stream_options",
            )
        return self
