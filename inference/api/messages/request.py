"""The bodies of POST /v1/messages and /v1/messages/count_tokens."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from inference.api.body.request_body import Body
from inference.api.body.unsupported import Unsupported
from inference.api.errors import BadRequest
from inference.api.messages.blocks import CacheControl, SystemPrompt, Turn
from inference.api.messages.context_edits import ContextManagement
from inference.api.messages.tools import ToolChoiceObject, Tools
from inference.api.parameters.structured_output import JsonSchema
from inference.api.parameters.value_types import MAX_TOKENS, Between, MaxItems
from llm_manager.config.in_force import config

_MAX_STOPS = 16

#: Of thoughts, "updates" shows only what a model reports of its progress between calls.
#: Models here write none, so it shows as much as "omitted".
_Display = Literal["summarized", "omitted", "updates"]


def _max_messages() -> int:
    limit: int = config().limits.max_messages
    return limit


class EnabledThinking(Body):
    """The model thinks first, in at most so many tokens."""

    type: Literal["enabled"]
    budget_tokens: Annotated[int, Between(1, MAX_TOKENS)]
    display: _Display = "summarized"


class AdaptiveThinking(Body):
    """The model thinks first, as long as it likes."""

    type: Literal["adaptive"]
    display: _Display = "summarized"


class DisabledThinking(Body):
    """The model does not think first."""

    type: Literal["disabled"]


class OutputFormat(Body):
    """What the answer must match."""

    type: Literal["json_schema"]
    schema_: JsonSchema = Field(alias="schema")


class OutputConfig(Body):
    """How much work the answer is, and what it must match."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None
    task_budget: Annotated[Any, Unsupported(may_be_left_out=True)] = None


class MessageMetadata(Body):
    """Labels of the request."""

    user_id: Annotated[str, Field(max_length=4096)] = ""
    """Who the request is for: kept with its usage."""


class MessagesInput(Body):
    """A conversation, with what the model gets beside it."""

    model: Annotated[str, Field(min_length=1, max_length=511)]
    """Id, alias or file name of a model, as in GET /v1/models. An alias may have
    wildcards: an administrator may let claude-* mean a model."""
    messages: Annotated[
        list[Annotated[Turn, Field(discriminator="role")]],
        Field(min_length=1),
        MaxItems(_max_messages, "messages"),
    ]
    """The conversation. If it ends with the assistant, the answer continues that."""
    system: SystemPrompt | None = None
    """Instructions for the model."""
    tools: Tools = []
    """Tools that the model may call. Those that only Anthropic's host runs are left
    out."""
    tool_choice: ToolChoiceObject | None = None
    """auto, any, tool with a name, or none. Required calls always match their
    schema."""
    thinking: (
        Annotated[
            EnabledThinking | AdaptiveThinking | DisabledThinking,
            Field(discriminator="type"),
        ]
        | None
    ) = None
    """Whether the model thinks before it answers. Default: disabled."""
    output_config: OutputConfig | None = None
    """How much the model thinks, and the JSON schema that the answer must match."""
    output_format: OutputFormat | None = None
    """The former name of output_config.format."""
    context_management: ContextManagement | None = None
    """Which parts of the conversation the model goes without."""
    cache_control: CacheControl | None = None
    """Accepted: prefixes are always cached."""
    billing_policy: Annotated[Any, Unsupported(may_be_left_out=True)] = None
    compaction: Annotated[Any, Unsupported(hint=" Nothing here sums up.")] = None
    mcp_servers: Annotated[Any, Unsupported(([],), may_be_left_out=True)] = None
    speed: Annotated[Any, Unsupported(("standard",), may_be_left_out=True)] = None

    @property
    def effort(self) -> str | None:
        """How much work the answer is, if requested."""
        return None if self.output_config is None else self.output_config.effort

    @property
    def answer_format(self) -> tuple[str, OutputFormat] | None:
        """The path and the value of what the answer must match, if anything."""
        if self.output_config is not None and self.output_config.format is not None:
            return "output_config.format", self.output_config.format
        if self.output_format is not None:
            return "output_format", self.output_format
        return None

    @model_validator(mode="after")
    def _check_format(self) -> MessagesInput:
        form = self.answer_format
        if form and self.output_format and form[1] != self.output_format:
            raise BadRequest(
                "'output_config.format' and 'output_format' mean the same and differ; "
                "send one of them.",
                param="output_format",
            )
        return self


class CountTokensRequest(MessagesInput):
    """A conversation whose tokens are counted."""


class MessagesRequest(MessagesInput):
    """A conversation, and how to answer it."""

    max_tokens: Annotated[int, Between(1, MAX_TOKENS)]
    """The maximum number of tokens of the answer, with its thoughts."""
    stream: bool = False
    """Send the answer as server-sent events while it is generated."""
    stop_sequences: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=1000)]],
        Field(max_length=_MAX_STOPS),
    ] = []
    """Texts that end the answer. They are not part of it."""
    temperature: Annotated[float, Between(0, 1)] | None = None
    """0 always takes the most likely token. Default: the model's own, else the
    configuration's."""
    top_k: Annotated[int, Between(0, 1_000_000)] | None = None
    """Keeps this many of the most likely tokens; 0 keeps all."""
    top_p: Annotated[float, Between(0, 1)] | None = None
    """Keeps the most likely tokens with this total probability."""
    metadata: MessageMetadata | None = None
    """Labels of the request."""
    service_tier: Literal["auto", "standard_only"] = "auto"
    """Accepted: there is one tier."""

    # What only a host can do.
    container: Annotated[Any, Unsupported(hint=" There are no containers.")] = None
    thread: Annotated[Any, Unsupported(hint=" No messages are stored here.")] = None
    diagnostics: Annotated[Any, Unsupported(may_be_left_out=True)] = None
    fallbacks: Annotated[Any, Unsupported(([],), may_be_left_out=True)] = None
    fallback_credit_token: Annotated[Any, Unsupported(may_be_left_out=True)] = None
    inference_geo: Annotated[Any, Unsupported(may_be_left_out=True)] = None
