"""Which definitions a finite value can match."""

from __future__ import annotations

from typing import Any

from inference.engine.structured_output.json_schema.references import definition_name
from inference.engine.structured_output.json_schema.values import TYPES


def ending_definitions(definitions: dict[str, Any]) -> set[str]:
    """Return the definitions that a finite value can match."""
    ending: set[str] = set()
    before = -1
    while before != (before := len(ending)):
        # A definition mostly comes after those that refer to it.
        for name, body in reversed(definitions.items()):
            if _ends(body, ending):
                ending.add(name)
    return ending


def _ends(schema: Any, ending: set[str]) -> bool:
    """Whether a finite value can match, given the definitions in ``ending``."""

    def ends(schema: Any) -> bool:
        return _ends(schema, ending)

    if isinstance(schema, bool):
        return schema
    if "$ref" in schema and definition_name(schema["$ref"]) not in ending:
        return False
    if not all(map(ends, schema.get("allOf", ()))):
        return False
    if any(not any(map(ends, schema[k])) for k in ("anyOf", "oneOf") if k in schema):
        return False
    names = schema.get("type", TYPES)
    types = {names} if isinstance(names, str) else set(names)
    least = schema.get("minItems", 0)
    items = [*schema.get("prefixItems", ())[:least], schema.get("items", True)]
    properties = schema.get("properties", {})
    others = schema.get("additionalProperties", True)
    required = [properties.get(name, others) for name in schema.get("required", ())]
    return (
        bool(types - {"array", "object"})
        or ("object" in types and all(map(ends, required)))
        or ("array" in types and all(map(ends, items[:least])))
    )
