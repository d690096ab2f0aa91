"""A schema that is ready for llguidance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inference.engine.structured_output.json_schema.references import definition_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from inference.engine.structured_output.json_schema.style import JsonStyle

#: Keywords whose values are a schema, a list of schemas, or schemas by name.
SUBSCHEMA = {"additionalProperties", "items"}
SUBSCHEMA_LISTS = {"allOf", "anyOf", "prefixItems"}
SUBSCHEMA_MAPS = {"properties", "patternProperties"}


class PreparedSchema:
    """A schema for llguidance, with the paths of its parts.

    ``places`` has the path of each part, by its identity.
    """

    def __init__(
        self,
        body: dict[str, Any],
        definitions: dict[str, Any],
        places: dict[int, str],
        style: JsonStyle,
    ) -> None:
        self.body = body
        self.style = style
        self.definitions = definitions
        self.places = places

    def parts(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the subschemas of a schema, including those that it refers to."""
        for keyword, value in body.items():
            if keyword == "$ref":
                yield from _objects([self.definitions[definition_name(value)]])
            elif keyword in SUBSCHEMA:
                yield from _objects([value])
            elif keyword in SUBSCHEMA_LISTS or keyword == "oneOf":
                yield from _objects(value)
            elif keyword in SUBSCHEMA_MAPS:
                yield from _objects(value.values())

    def document(self, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the schema, or a part of it, as a self-contained document."""
        return {
            "x-guidance": self.style.options,
            "$defs": self.definitions,
            **(self.body if body is None else body),
        }


def _objects(schemas: Iterable[Any]) -> list[dict[str, Any]]:
    return [schema for schema in schemas if isinstance(schema, dict)]
