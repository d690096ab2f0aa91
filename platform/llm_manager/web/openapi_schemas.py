"""The schemas of /openapi.json, from the models of requests and the types of
answers."""

from __future__ import annotations

import types
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from accounts.usage.summary import UsageCounts, UsageGroup
from inference.api.administration.bodies import (
    CaptureRequest,
    DrainRequest,
    InvitationRequest,
    KeyChangeRequest,
    LimitChangeRequest,
    LimitRequest,
    NewKeyRequest,
    NewTeamRequest,
    NewUserRequest,
    NodePullRequest,
    RotateRequest,
    TeamChangeRequest,
    UserChangeRequest,
)
from inference.api.administration.elsewhere.bodies import BODIES as ELSEWHERE_BODIES
from inference.api.administration.elsewhere.objects import ELSEWHERE
from inference.api.administration.objects import ANSWERS as ADMIN_ANSWERS
from inference.api.batches.objects import ANSWERS as BATCH_ANSWERS
from inference.api.batches.request import BatchRequest
from inference.api.chat.request import ChatCompletionRequest
from inference.api.completions.request import CompletionRequest
from inference.api.downloads.objects import (
    DownloadedFile,
    DownloadList,
    DownloadObject,
    LeftOutFile,
    OfferedModel,
    OfferObject,
)
from inference.api.downloads.request import PullRequest
from inference.api.embeddings.request import EmbeddingRequest
from inference.api.embeddings.response import EmbeddingList
from inference.api.error_shapes.anthropic import AnthropicError
from inference.api.error_shapes.failure import ErrorBody
from inference.api.files.objects import ANSWERS as FILE_ANSWERS
from inference.api.messages.objects import MessageAnswer, TokenCount
from inference.api.messages.request import CountTokensRequest, MessagesRequest
from inference.api.models.objects import DeletedModel, ModelList, ModelObject
from inference.api.models.request import LoadRequest, UnloadRequest
from inference.api.ollama.objects import ANSWERS as OLLAMA_ANSWERS
from inference.api.ollama.request import (
    OllamaChatRequest,
    OllamaEmbeddingsRequest,
    OllamaEmbedRequest,
    OllamaGenerateRequest,
    OllamaShowRequest,
)
from inference.api.openapi.operations import ref
from inference.api.rerank.request import RerankRequest
from inference.api.rerank.response import Ranking
from inference.api.responses_api.body.request import InputTokensRequest, ResponseRequest
from inference.api.responses_api.output.objects import ANSWERS as RESPONSE_ANSWERS
from inference.api.responses_api.store.objects import ANSWERS as STORE_ANSWERS
from inference.api.responses_api.store.views import (
    ConversationChangeRequest,
    ConversationItemsRequest,
    ConversationRequest,
)
from inference.api.streaming import response_objects
from inference.api.tokens.request import (
    ApplyTemplateRequest,
    DetokenizeRequest,
    TokenizeRequest,
)
from inference.api.tokens.response import TemplatePrompt, TokenList, TokenText
from inference.api.usage.response import UsageList

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inference.api.body.request_body import Body

_REQUESTS: tuple[type[Body], ...] = (
    ApplyTemplateRequest,
    BatchRequest,
    ChatCompletionRequest,
    CompletionRequest,
    CountTokensRequest,
    DetokenizeRequest,
    EmbeddingRequest,
    LoadRequest,
    MessagesRequest,
    UnloadRequest,
    PullRequest,
    RerankRequest,
    InputTokensRequest,
    ResponseRequest,
    ConversationChangeRequest,
    ConversationItemsRequest,
    ConversationRequest,
    TokenizeRequest,
    OllamaChatRequest,
    OllamaEmbeddingsRequest,
    OllamaEmbedRequest,
    OllamaGenerateRequest,
    OllamaShowRequest,
    InvitationRequest,
    KeyChangeRequest,
    LimitChangeRequest,
    LimitRequest,
    NewKeyRequest,
    NewTeamRequest,
    NewUserRequest,
    CaptureRequest,
    DrainRequest,
    NodePullRequest,
    RotateRequest,
    TeamChangeRequest,
    UserChangeRequest,
    *ELSEWHERE_BODIES,
)
_ANSWERS: dict[str, type] = {
    "AnthropicError": AnthropicError,
    "ChatCompletion": response_objects.ChatCompletion,
    "ChatCompletionChunk": response_objects.ChatChunk,
    "Completion": response_objects.TextCompletion,
    "DeletedModel": DeletedModel,
    "Download": DownloadObject,
    "DownloadedFile": DownloadedFile,
    "DownloadList": DownloadList,
    "EmbeddingList": EmbeddingList,
    "Error": ErrorBody,
    "MessageAnswer": MessageAnswer,
    "Model": ModelObject,
    "LeftOutFile": LeftOutFile,
    "ModelList": ModelList,
    "Offer": OfferObject,
    "OfferedModel": OfferedModel,
    "Ranking": Ranking,
    "TemplatePrompt": TemplatePrompt,
    "TokenList": TokenList,
    "TokenCount": TokenCount,
    "TokenText": TokenText,
    "UsageCounts": UsageCounts,
    "UsageGroup": UsageGroup,
    "UsageList": UsageList,
}
_SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean"}


def component_schemas(further: Mapping[str, type]) -> dict[str, Any]:
    """Return every schema by its name; ``further`` are answers of other routes."""
    schemas = request_schemas(_REQUESTS)
    answers = {
        **_ANSWERS,
        **RESPONSE_ANSWERS,
        **STORE_ANSWERS,
        **OLLAMA_ANSWERS,
        **BATCH_ANSWERS,
        **FILE_ANSWERS,
        **ADMIN_ANSWERS,
        **ELSEWHERE,
        **further,
    }
    names = {answer: name for name, answer in answers.items()}
    return schemas | {
        name: _of_typed_dict(answer, names) for name, answer in answers.items()
    }


def request_schemas(
    models: Sequence[type[Body]], ref_template: str = ref("{model}")["$ref"]
) -> dict[str, Any]:
    """Return the schemas of bodies, and of the objects in them, by their names."""
    _, schemas = models_json_schema(
        [(model, "validation") for model in models],
        ref_template=ref_template,
        schema_generator=_SchemaGenerator,
    )
    definitions: dict[str, Any] = schemas["$defs"]
    return definitions


class _SchemaGenerator(GenerateJsonSchema):
    """pydantic's, without a title for each member: that would be its name again."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Return False."""
        return False


def _of_typed_dict(answer: type, names: dict[type, str]) -> dict[str, Any]:
    hints = get_type_hints(answer, include_extras=True)
    is_total = getattr(answer, "__total__", True)
    required = [
        name
        for name, hint in hints.items()
        if is_total and get_origin(hint) is not NotRequired
    ]
    schema: dict[str, Any] = {
        "type": "object",
        "description": (answer.__doc__ or "").strip(),
        "properties": {name: _of(hint, names) for name, hint in hints.items()},
    }
    return {**schema, "required": required} if required else schema


def _of(hint: Any, names: dict[type, str]) -> dict[str, Any]:
    """Return the schema of a type: of the kinds that answers are made of."""
    if hint is Any:
        return {}
    if hint in _SCALARS:
        return {"type": _SCALARS[hint]}
    if hint is type(None):
        return {"type": "null"}
    if is_typeddict(hint):
        return ref(names[hint]) if hint in names else _of_typed_dict(hint, names)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is NotRequired:
        return _of(arguments[0], names)
    if origin is Literal:
        return {"type": "string", "enum": list(arguments)}
    if origin is list:
        return {"type": "array", "items": _of(arguments[0], names)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _of(arguments[1], names)}
    if origin in (Union, types.UnionType):
        # Not oneOf: an empty list is one of each kind.
        return {"anyOf": [_of(argument, names) for argument in arguments]}
    raise TypeError(f"no schema for {hint!r}")
