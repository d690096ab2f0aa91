"""OpenAI's published schemas, as far as they are about what is served here.

``openai_schema.json`` is an extract of openapi.json of github.com/openai/openai-openapi
(MIT, Copyright (c) OpenAI), without descriptions and examples: the schemas of
answers, and the members of requests. It is written again from a newer one by
``python -m tests.openai_schema openapi.json``.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Iterator

_FILE = Path(__file__).with_suffix(".json")
_SOURCE = "https://github.com/openai/openai-openapi, openapi.json, MIT License"
_ANSWERS = (
    *("CreateChatCompletionResponse", "CreateChatCompletionStreamResponse"),
    *("CreateCompletionResponse", "CreateEmbeddingResponse"),
    *("ErrorResponse", "ListModelsResponse", "Model"),
    *("Response", "ResponseStreamEvent", "ResponseItemList", "TokenCountsResource"),
    *("Batch", "ListBatchesResponse"),
    *("OpenAIFile", "ListFilesResponse", "DeleteFileResponse"),
    *("ConversationResource", "ConversationItemList", "DeletedConversationResource"),
)
_REQUESTS = (
    *("CreateChatCompletionRequest", "CreateCompletionRequest"),
    *("CreateEmbeddingRequest", "CreateResponse", "TokenCountsBody"),
    "CreateBatchRequest",
)
_PROSE = {
    "description",
    "example",
    "examples",
    "title",
    "x-oaiMeta",
    "x-stainless-const",
}
_REF = "#/components/schemas/"


@cache
def _extract() -> dict[str, Any]:
    extract: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return extract


def check(name: str, value: Any) -> None:
    """Fail unless the value fits OpenAI's schema of this name."""
    schema = {"$ref": f"{_REF}{name}", "components": _extract()["components"]}
    Draft202012Validator(schema).validate(value)


def members_of(request: str) -> set[str]:
    """Return the names of the members of a request."""
    extract = _extract()
    if request in extract["requests"]:
        return set(extract["requests"][request])
    return set(extract["components"]["schemas"][request]["properties"])


def extract_of(document: dict[str, Any]) -> dict[str, Any]:
    """Return what of OpenAI's document is kept."""
    schemas = document["components"]["schemas"]
    needed = list(_ANSWERS)
    for name in needed:
        needed += [each for each in _references(schemas[name]) if each not in needed]
    return {
        "source": f"{_SOURCE}, version {document['info']['version']}",
        "components": {
            "schemas": {name: _bare(schemas[name]) for name in sorted(needed)}
        },
        "requests": {name: sorted(_members(name, schemas)) for name in _REQUESTS},
    }


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].removeprefix(_REF)
        schema = list(schema.values())
    if isinstance(schema, list):
        for each in schema:
            yield from _references(each)


def _bare(schema: Any, *, is_schema: bool = True) -> Any:
    """Return a schema without prose; a member may be called description, too.

    OpenAPI 3.0's ``nullable``, which here and there is left, becomes a choice.
    """
    if isinstance(schema, list):
        return [_bare(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {
        name: _bare(each, is_schema=name not in ("properties", "patternProperties"))
        for name, each in schema.items()
        if not (is_schema and (name in _PROSE or name.startswith("x-")))
    }
    if is_schema and kept.pop("nullable", False) is True:
        return {"anyOf": [kept, {"type": "null"}]}
    return kept


def _members(name: str, schemas: dict[str, Any]) -> set[str]:
    schema = schemas[name]
    members = set(schema.get("properties", ()))
    for part in schema.get("allOf", ()):
        members |= set(part.get("properties", ()))
        for reference in [part["$ref"]] if "$ref" in part else ():
            members |= _members(reference.removeprefix(_REF), schemas)
    return members


if __name__ == "__main__":
    published = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    text = json.dumps(extract_of(published), indent=1, ensure_ascii=False)
    _FILE.write_text(f"{text}\n", encoding="utf-8")
