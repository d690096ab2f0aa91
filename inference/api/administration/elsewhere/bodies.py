"""The bodies of upstreams, their models and routes. The rows' rules check the rest."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from inference.api.administration.bodies import Patch
from inference.api.body.request_body import Body
from inference.api.parameters.json_object import AnyJson
from inference.api.parameters.value_types import Between

_Name = Annotated[str, Field(min_length=1, max_length=255)]
_Texts = Annotated[list[_Name], Field(max_length=100)]
_Dialect = Literal[
    "openai",
    "vllm",
    "sglang",
    "tensorrt-llm",
    "llama-server",
    "ollama",
    "anthropic",
    "llm-manager",
]
_Api = Literal["chat", "completions", "embeddings", "responses", "messages", "rerank"]
_Apis = Annotated[list[_Api], Field(min_length=1, max_length=6)]
_Key = Annotated[str, Field(max_length=4096)]
_Price = Annotated[float, Between(0, 9_999_999)]
_Context = Annotated[int, Between(1, 2_147_483_647)]
_Parameters = Annotated[dict[str, Any], AnyJson(16 * 1024)]


class NewUpstreamRequest(Body):
    """Another inference server."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    """What pages, metrics and errors call it."""
    base_url: Annotated[str, Field(min_length=1, max_length=500)]
    """What comes before /chat/completions."""
    key: _Key = ""
    """What it is sent as its key. No answer has it."""
    dialect: _Dialect = "openai"
    """Whose parameters it takes."""
    connect_timeout_s: Annotated[int, Between(1, 120)] = 5
    """Seconds in which a connection must be made."""
    read_timeout_s: Annotated[int, Between(1, 3600)] = 120
    """The longest silence of an answer, in seconds."""
    total_timeout_s: Annotated[int, Between(1, 86_400)] = 600
    """Seconds that an answer may take."""


class UpstreamChangeRequest(Patch):
    """Changes of an upstream."""

    base_url: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    """What comes before /chat/completions."""
    key: _Key | None = None
    """Another key; null or an empty one is none."""
    dialect: _Dialect | None = None
    """Whose parameters it takes."""
    is_enabled: bool | None = None
    """Whether requests are sent to it."""
    connect_timeout_s: Annotated[int, Between(1, 120)] | None = None
    """Seconds in which a connection must be made."""
    read_timeout_s: Annotated[int, Between(1, 3600)] | None = None
    """The longest silence of an answer, in seconds."""
    total_timeout_s: Annotated[int, Between(1, 86_400)] | None = None
    """Seconds that an answer may take."""


class NewUpstreamModelRequest(Body):
    """A model that an upstream serves."""

    name: _Name
    """The name that requests use."""
    upstream: _Name
    """The name of the upstream."""
    remote_name: _Name
    """What the upstream calls the model."""
    apis: _Apis = ["chat"]
    """What requests it takes."""
    aliases: _Texts = []
    """Other names that requests may use; an * stands for any characters."""
    context_length: _Context | None = None
    """Its context in tokens, if it is known."""
    refused_parameters: _Texts = []
    """Parameters that it cannot take, beside those that the dialect lacks."""
    input_price: _Price | None = None
    """Money for a million prompt tokens."""
    cached_price: _Price | None = None
    """The same for cached ones."""
    output_price: _Price | None = None
    """Money for a million tokens of answers."""


class UpstreamModelChangeRequest(Patch):
    """Changes of an upstream's model."""

    remote_name: _Name | None = None
    """What the upstream calls the model."""
    apis: _Apis | None = None
    """What requests it takes."""
    aliases: _Texts | None = None
    """All its other names; an * stands for any characters."""
    is_enabled: bool | None = None
    """Whether requests may use it."""
    context_length: _Context | None = None
    """Its context in tokens; null is not known."""
    refused_parameters: _Texts | None = None
    """Parameters that it cannot take, beside those that the dialect lacks."""
    input_price: _Price | None = None
    """Money for a million prompt tokens."""
    cached_price: _Price | None = None
    """The same for cached ones."""
    output_price: _Price | None = None
    """Money for a million tokens of answers."""


class RouteTargetBody(Body):
    """A model of a route."""

    model: _Name
    """The id of a model."""
    weight: Annotated[int, Between(0, 1_000_000)] = 1
    """Its share beside the other weights; with 0 it answers where others fail."""


_Targets = Annotated[list[RouteTargetBody], Field(min_length=1, max_length=100)]


class NewRouteRequest(Body):
    """A name that stands for one of several models."""

    name: _Name
    """The name that requests use."""
    targets: _Targets
    """Its models, in the order in which they are asked where others fail."""
    aliases: _Texts = []
    """Other names that requests may use; an * stands for any characters."""
    falls_back: bool = False
    """The next target answers where one fails before its first token."""
    default_parameters: _Parameters = {}
    """Members of requests that do not have them."""
    forced_parameters: _Parameters = {}
    """Members of every request."""


class RouteChangeRequest(Patch):
    """Changes of a route."""

    targets: _Targets | None = None
    """All its models."""
    aliases: _Texts | None = None
    """All its other names; an * stands for any characters."""
    falls_back: bool | None = None
    """The next target answers where one fails before its first token."""
    is_enabled: bool | None = None
    """Whether requests may use it."""
    default_parameters: _Parameters | None = None
    """Members of requests that do not have them."""
    forced_parameters: _Parameters | None = None
    """Members of every request."""


#: The schemas of /openapi.json.
BODIES = (
    NewUpstreamRequest,
    UpstreamChangeRequest,
    NewUpstreamModelRequest,
    UpstreamModelChangeRequest,
    NewRouteRequest,
    RouteChangeRequest,
)
