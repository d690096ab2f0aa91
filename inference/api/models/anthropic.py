"""Models in the shape of Anthropic's API, for its clients."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal, TypedDict

from pydantic import Field

from inference.api.body.request_body import Body
from inference.api.errors import BadRequest
from inference.api.parameters.value_types import ModelName
from llm_manager.lib.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inference.api.models.objects import ModelObject

_MAX_PAGE = 1000


class AnthropicModel(TypedDict):
    """A model; both limits are its largest context."""

    type: Literal["model"]
    id: str
    display_name: str
    created_at: str
    lifecycle: Literal["active"]
    max_input_tokens: int
    max_tokens: int


class AnthropicModelPage(TypedDict):
    """Some of the models that the key may use and that answer messages."""

    data: list[AnthropicModel]
    first_id: str | None
    last_id: str | None
    has_more: bool


class ModelPageQuery(Body):
    """Which models a page has."""

    limit: Annotated[int, Field(ge=1, le=_MAX_PAGE)] = 20
    after_id: ModelName | None = None
    before_id: ModelName | None = None


def anthropic_model(model: ModelObject) -> AnthropicModel:
    """Return a model's object."""
    created = datetime.fromtimestamp(model["created"], UTC)
    return {
        "type": "model",
        "id": model["id"],
        "display_name": model["id"],
        "created_at": created.isoformat().replace("+00:00", "Z"),
        "lifecycle": "active",
        "max_input_tokens": model["context"]["max"],
        "max_tokens": model["context"]["max"],
    }


def anthropic_page(
    models: Sequence[ModelObject], query: Mapping[str, str]
) -> AnthropicModelPage:
    """Return the page that a query asks for. Raises BadRequest."""
    page = _page_of(query)
    found = [model for model in models if "chat" in model["capabilities"]]
    ids = [model["id"] for model in found]
    first, end = 0, len(found)
    if page.after_id is not None:
        first = _place(ids, page.after_id, "after_id") + 1
    if page.before_id is not None:
        end = _place(ids, page.before_id, "before_id")
    if page.before_id is not None and page.after_id is None:
        rest, first = max(end - page.limit, 0), max(end - page.limit, first)
        has_more = rest > 0
    else:
        has_more = end - first > page.limit
        end = min(end, first + page.limit)
    data = [anthropic_model(model) for model in found[first:end]]
    return {
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": has_more,
    }


def _page_of(query: Mapping[str, str]) -> ModelPageQuery:
    given = {name: query[name] for name in ModelPageQuery.model_fields if name in query}
    limit = given.pop("limit", "20")
    if not limit.isdecimal() or not 1 <= int(limit[:5]) <= _MAX_PAGE:
        raise BadRequest(
            f"Invalid value for 'limit': it must be between 1 and {_MAX_PAGE}.",
            param="limit",
        )
    return ModelPageQuery.parse({**given, "limit": int(limit)})


def _place(ids: Sequence[str], name: str, param: str) -> int:
    try:
        return ids.index(name)
    except ValueError:
        raise BadRequest(
            f"Invalid value for '{param}': there is no model '{quote(name)}' in the "
            "list.",
            param=param,
        ) from None
