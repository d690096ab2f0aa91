"""Which objects are closed: those that name properties and say nothing of others."""

from __future__ import annotations

from typing import Any

#: What a schema may say of an object's properties.
_OF_OBJECTS = {
    "additionalProperties",
    "maxProperties",
    "minProperties",
    "patternProperties",
    "properties",
    "propertyNames",
    "required",
    "unevaluatedProperties",
}
#: Schemas that also hold for the same object, and may name further properties.
_BESIDE = {
    "$dynamicRef",
    "$recursiveRef",
    "$ref",
    "dependencies",
    "dependentSchemas",
    "else",
    "if",
    "not",
    "then",
}
_OPTIONS = ("allOf", "anyOf", "oneOf")
#: What asks for properties that have no name.
_ASKING = {"additionalProperties", "propertyNames", "unevaluatedProperties"}


def is_silent(schema: dict[str, Any]) -> bool:
    """Whether a schema says nothing of an object's properties."""
    named = schema.get("properties") or schema.get("required")
    said = (_OF_OBJECTS | _BESIDE | set(_OPTIONS)) - {"properties", "required"}
    return not named and not said & set(schema)


def names_all(schema: dict[str, Any]) -> bool:
    """Whether a schema names properties of an object, and asks for no others."""
    properties = schema.get("properties")
    if not isinstance(properties, dict) or not properties:
        return False
    if (_ASKING | _BESIDE) & set(schema):
        return False
    least = schema.get("minProperties", 0)
    if isinstance(least, (int, float)) and least > len(properties):
        return False
    return all(
        _names_none_but(option, set(properties))
        for keyword in _OPTIONS
        for option in _list(schema.get(keyword))
    )


def parts_of_objects(schema: dict[str, Any]) -> bool:
    """Whether the schemas in ``allOf`` and so on, or at ``$ref``, are parts of objects.

    Each of them alone does not say which properties the object has.
    """
    several = len(_list(schema.get("allOf"))) > 1
    ways = ({*_OPTIONS} | _BESIDE) & set(schema)
    return several or len(ways) > 1 or bool(_OF_OBJECTS & set(schema))


def close(out: dict[str, Any]) -> None:
    """Close a prepared object: it has the properties that it names or requires."""
    properties = out.get("properties")
    if properties is None:
        return
    for name in out.get("required", ()):
        properties.setdefault(name, True)
    out["additionalProperties"] = False


def _names_none_but(option: Any, names: set[str]) -> bool:
    """Whether an option names no properties but these."""
    if not isinstance(option, dict):
        return True
    if (_BESIDE | {*_OPTIONS} | _ASKING | {"patternProperties"}) & set(option):
        return False
    named = {*_list(option.get("required"))} | {*(option.get("properties") or ())}
    return named <= names


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
