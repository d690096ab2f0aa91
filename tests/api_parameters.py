"""The tables of docs/parameters.md: what becomes of each member of a request.

They are made from the bodies that check requests, from why hints are left out, and from
the members that OpenAI publishes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.api.batches.request import BatchRequest
from inference.api.body.unsupported import Unsupported
from inference.api.chat.request import ChatCompletionRequest
from inference.api.completions.request import CompletionRequest
from inference.api.embeddings.request import EmbeddingRequest
from inference.api.files.upload import PARTS
from inference.api.left_out import REASONS
from inference.api.messages.request import CountTokensRequest, MessagesRequest
from inference.api.ollama.options import Options
from inference.api.ollama.request import (
    OllamaChatRequest,
    OllamaEmbeddingsRequest,
    OllamaEmbedRequest,
    OllamaGenerateRequest,
    OllamaShowRequest,
)
from inference.api.rerank.request import RerankRequest
from inference.api.responses_api.body.mcp_tool import McpTool
from inference.api.responses_api.body.request import InputTokensRequest, ResponseRequest
from inference.api.responses_api.store.views import ConversationRequest
from inference.api.tokens.request import (
    ApplyTemplateRequest,
    DetokenizeRequest,
    TokenizeRequest,
)
from tests.openai_schema import members_of

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from inference.api.body.request_body import Body

SUPPORTED, EXTENSION, LEFT_OUT, REFUSED = (
    "supported",
    "extension",
    "left out",
    "refused",
)


@dataclass(frozen=True, slots=True)
class Api:
    """A route, its body, and OpenAI's published schema of it, if there is one."""

    route: str
    body: type[Body]
    schema: str = ""
    #: What of the body it is, if not all.
    part: str = ""

    @property
    def heading(self) -> str:
        """Its name in the page."""
        about = f", {self.part}" if self.part else ""
        return f"`POST {self.route}`{about}"


#: By the pages that describe them in words.
APIS = {
    "OpenAI's API": (
        Api(
            "/v1/chat/completions",
            ChatCompletionRequest,
            "CreateChatCompletionRequest",
        ),
        Api("/v1/completions", CompletionRequest, "CreateCompletionRequest"),
        Api("/v1/embeddings", EmbeddingRequest, "CreateEmbeddingRequest"),
        Api("/v1/responses", ResponseRequest, "CreateResponse"),
        Api(
            "/v1/responses",
            McpTool,
            "MCPTool",
            "`tools[…]` of the type `mcp`",
        ),
        Api("/v1/responses/input_tokens", InputTokensRequest, "TokenCountsBody"),
        Api("/v1/conversations", ConversationRequest),
        Api("/v1/batches", BatchRequest),
    ),
    "Anthropic's API": (
        Api("/v1/messages", MessagesRequest),
        Api("/v1/messages/count_tokens", CountTokensRequest),
    ),
    "Ollama's API": (
        Api("/api/chat", OllamaChatRequest),
        Api("/api/generate", OllamaGenerateRequest),
        Api("/api/generate", Options, part="`options`"),
        Api("/api/embed", OllamaEmbedRequest),
        Api("/api/embeddings", OllamaEmbeddingsRequest),
        Api("/api/show", OllamaShowRequest),
    ),
    "Other routes": (
        Api("/v1/rerank", RerankRequest),
        Api("/v1/tokenize", TokenizeRequest),
        Api("/v1/detokenize", DetokenizeRequest),
        Api("/v1/apply-template", ApplyTemplateRequest),
    ),
}


_HEAD = "| member | | what it does, or why it does not |\n|---|---|---|"


@dataclass(frozen=True, slots=True)
class Row:
    """A member, what becomes of it, and what it means or why it is not served."""

    member: str
    fate: str
    about: str

    def __str__(self) -> str:
        about = self.about.replace("|", r"\|")
        return f"| `{self.member}` | {self.fate} | {about} |"


def rows(api: Api) -> list[Row]:
    """Return the members of an API's body: those that are served come first."""
    openais = members_of(api.schema) if api.schema else set()
    found = []
    for field_name, field in api.body.model_fields.items():
        name = field.alias or field_name
        is_openais = not api.schema or name in openais
        found.append(_row(name, field, is_openais=is_openais))
    fates = (SUPPORTED, EXTENSION, LEFT_OUT, REFUSED)
    return sorted(found, key=lambda row: (fates.index(row.fate), row.member))


def table(api: Api) -> str:
    """Return the table of an API's members."""
    return "\n".join([_HEAD, *map(str, rows(api))])


def form_table() -> str:
    """Return the table of the parts of an upload, which is a form."""
    parts = {"file": "The content, whose name is kept.", **PARTS}
    found = [Row(name, SUPPORTED, parts[name]) for name in sorted(parts)]
    return "\n".join([_HEAD, *map(str, found)])


def _row(name: str, field: FieldInfo, *, is_openais: bool) -> Row:
    for rule in field.metadata:
        if isinstance(rule, Unsupported):
            return _row_of_unsupported(name, rule)
    about = " ".join((field.description or "").split())
    about = about.removesuffix("Not in OpenAI's API.").strip()
    return Row(name, SUPPORTED if is_openais else EXTENSION, about)


def _row_of_unsupported(name: str, rule: Unsupported) -> Row:
    values = " or ".join(f"`{json.dumps(value)}`" for value in rule.values)
    accepted = "Any text" if rule.any_text else values
    effect = f"{accepted} is what happens anyway. " if accepted else ""
    if rule.may_be_left_out:
        reason = REASONS.get(name, REASONS["options…"])
        return Row(name, LEFT_OUT, f"{effect}{_sentence(reason)}")
    return Row(name, REFUSED, f"{effect}{rule.hint.strip()}".strip())


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
