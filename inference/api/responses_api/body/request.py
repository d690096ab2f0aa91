"""The body of POST /v1/responses."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, Tag, model_validator

from inference.api.body.request_body import Body
from inference.api.body.unsupported import Unsupported
from inference.api.chat.template_parameters import Effort
from inference.api.errors import BadRequest
from inference.api.parameters.completion import MAX_LOGPROBS
from inference.api.parameters.lora import LoraParameters
from inference.api.parameters.priority import PriorityParameter
from inference.api.parameters.sampling import SamplingParameters
from inference.api.parameters.structured_output import JsonSchema, SchemaName
from inference.api.parameters.value_types import (
    MAX_TOKENS,
    Between,
    ModelName,
    Text,
    by_json_type,
)
from inference.api.responses_api.body.items import Input
from inference.api.responses_api.body.tools import ToolChoice, Tools

LOGPROBS = "message.output_text.logprobs"
ENCRYPTED = "reasoning.encrypted_content"
#: What tools of other servers return: none of them runs here.
_OF_HOSTED_TOOLS = (
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    "web_search_call.action.sources",
    "web_search_call.results",
)
_Include = Literal["message.output_text.logprobs", "reasoning.encrypted_content"]
_HOSTED_INCLUDE = Literal[_OF_HOSTED_TOOLS]  # type: ignore[valid-type]
_ItemId = Annotated[str, Field(min_length=1, max_length=256)]


class FormatText(Body):
    """Any text."""

    type: Literal["text"]


class FormatJsonObject(Body):
    """Any JSON object."""

    type: Literal["json_object"]


class FormatJsonSchema(Body):
    """The values of a JSON schema, which is always enforced."""

    type: Literal["json_schema"]
    name: SchemaName
    description: Text = ""
    strict: bool = False
    schema_: JsonSchema = Field(alias="schema")


class TextParameters(Body):
    """What the text of the answer is like."""

    format: (
        Annotated[
            FormatText | FormatJsonObject | FormatJsonSchema,
            Field(discriminator="type"),
        ]
        | None
    ) = None
    verbosity: Literal["low", "medium", "high"] | None = None
    """A hint: left out, and said."""


class ResponseReasoning(Body):
    """How much the model reasons, and how its reasoning is shown."""

    effort: Effort | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    """The reasoning is returned as its own summary, instead of as reasoning_text."""
    generate_summary: Literal["auto", "concise", "detailed"] | None = None
    """OpenAI's former name for summary."""
    context: Literal["auto", "current_turn", "all_turns"] | None = None
    """A hint: the chat template decides. Left out, and said."""
    mode: Annotated[str, Field(max_length=64)] | None = None
    """A hint: left out, and said."""


class ResponseStreamOptions(Body):
    """What a stream contains besides the answer."""

    include_obfuscation: bool = False
    """A hint: nothing is obfuscated. Left out, and said."""


class ConversationId(Body):
    """A conversation, by its id."""

    id: _ItemId


class ResponseHints(Body):
    """Members that have no effect here, and those that are not supported."""

    access_programs: Annotated[Any, Unsupported(may_be_left_out=True)] = None
    background_options: Annotated[Any, Unsupported(may_be_left_out=True)] = None
    client_metadata: Annotated[Any, Unsupported(may_be_left_out=True)] = None
    context_management: Annotated[Any, Unsupported(([],), may_be_left_out=True)] = None
    image: Annotated[Any, Unsupported(may_be_left_out=True)] = None
    moderation: Annotated[Any, Unsupported(hint=" Nothing here moderates.")] = None
    prompt: Annotated[
        Any, Unsupported(hint=" No prompts are stored here; send its text.")
    ] = None
    prompt_cache_key: Annotated[
        Any, Unsupported(may_be_left_out=True, is_text=True)
    ] = None
    prompt_cache_options: Annotated[Any, Unsupported(may_be_left_out=True)] = None
    prompt_cache_retention: Annotated[Any, Unsupported(may_be_left_out=True)] = None
    safety_identifier: Annotated[
        Any, Unsupported(may_be_left_out=True, is_text=True)
    ] = None
    service_tier: Annotated[
        Any, Unsupported(("auto", "default"), may_be_left_out=True)
    ] = None
    truncation: Annotated[
        Any,
        Unsupported(("disabled",), hint=" Nothing is cut from the input."),
    ] = None


class ResponseTask(Body):
    """A conversation, and what the model may answer: what counts for its tokens."""

    model: ModelName
    """Id, alias or file name of a model, as in GET /v1/models."""
    input: Input
    """A text, or the items of a conversation: messages, calls and what they returned,
    reasoning."""
    instructions: Text | None = None
    """A system message before the input."""
    tools: Tools = []
    """Functions, custom tools and namespaces of them. Hosted tools are left out, and
    said."""
    tool_choice: ToolChoice = "auto"
    """none, auto, required, one function or custom tool, or allowed_tools."""
    parallel_tool_calls: bool = True
    """Allow several calls in one answer, if the model's template supports it."""
    text: TextParameters | None = None
    """What the answer must match: text, a JSON object or a JSON schema."""
    reasoning: ResponseReasoning | None = None
    """How much the model reasons, and how that is shown."""
    previous_response_id: _ItemId | None = None
    """A stored response that this one goes on from. Needs api.store."""
    conversation: (
        Annotated[
            Annotated[_ItemId, Tag("string")]
            | Annotated[ConversationId, Tag("object")],
            by_json_type("a string or an object"),
        ]
        | None
    ) = None
    """A stored conversation that this response adds to. Needs api.store."""

    @property
    def conversation_id(self) -> str | None:
        """The id of the conversation, if there is one."""
        given = self.conversation
        return given.id if isinstance(given, ConversationId) else given

    @property
    def summary(self) -> str | None:
        """How the reasoning is to be summarised, if at all."""
        if self.reasoning is None:
            return None
        return self.reasoning.summary or self.reasoning.generate_summary

    @model_validator(mode="after")
    def _check_context(self) -> ResponseTask:
        if self.previous_response_id and self.conversation_id:
            raise BadRequest(
                "'previous_response_id' and 'conversation' both say what comes before; "
                "send one of them.",
                param="previous_response_id",
            )
        return self


class InputTokensRequest(ResponseHints, ResponseTask):
    """A request whose tokens are counted."""

    personality: Annotated[Any, Unsupported(may_be_left_out=True)] = None


class ResponseRequest(
    ResponseHints, ResponseTask, SamplingParameters, LoraParameters, PriorityParameter
):
    """A request for a response."""

    background: bool = False
    """Answer at once, and go on without the client. Needs api.store."""
    include: Annotated[list[_Include | _HOSTED_INCLUDE], Field(max_length=16)] = []
    """message.output_text.logprobs and reasoning.encrypted_content; what belongs to
    hosted tools is left out."""
    max_output_tokens: Annotated[int, Between(1, MAX_TOKENS)] | None = None
    """The maximum number of tokens of the answer, with its reasoning. Default: the
    model's own, else the configuration's."""
    max_tool_calls: Annotated[int, Between(1, MAX_TOKENS)] | None = None
    """How many calls of MCP servers there may be; api.mcp_max_calls is the most."""
    metadata: Annotated[
        dict[
            Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]
        ],
        Field(max_length=16),
    ] = {}
    """Labels of the request: kept with its usage, and with a stored response."""
    store: bool | None = None
    """Keep the response. Default: true where api.store is on. Without it true is left
    out, and said."""
    stream: bool = False
    """Send the answer as server-sent events while it is generated."""
    stream_options: ResponseStreamOptions | None = None
    """Only with stream."""
    top_logprobs: Annotated[int, Between(0, MAX_LOGPROBS)] | None = None
    """Return this many of the most likely tokens of each token too."""
    user: Annotated[str, Field(max_length=1024)] | None = None
    """Accepted and ignored."""

    @property
    def with_logprobs(self) -> bool:
        """Whether the answer has logprobs."""
        return LOGPROBS in self.include or bool(self.top_logprobs)

    @model_validator(mode="after")
    def _check_stream_options(self) -> ResponseRequest:
        if self.stream_options is not None and not self.stream:
            raise BadRequest(
                "'stream_options' is only allowed with 'stream': true.",
                param="stream_options",
            )
        return self


def nested_hints(body: ResponseTask) -> list[str]:
    """Return the paths of hints within other members that have no effect here."""
    hints = []
    if body.text is not None and body.text.verbosity is not None:
        hints.append("text.verbosity")
    if body.reasoning is not None:
        hints += [
            f"reasoning.{name}"
            for name in ("context", "mode")
            if getattr(body.reasoning, name) not in (None, "auto", "standard")
        ]
        if body.summary == "concise":
            hints.append("reasoning.summary")
    if not isinstance(body, ResponseRequest):
        return hints
    options = body.stream_options
    if options is not None and options.include_obfuscation:
        hints.append("stream_options.include_obfuscation")
    hints += [
        f"include[{index}]"
        for index, each in enumerate(body.include)
        if each in _OF_HOSTED_TOOLS
    ]
    return hints
