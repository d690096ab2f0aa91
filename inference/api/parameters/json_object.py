"""JSON objects of any content, limited in depth and size."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import core_schema

from inference.api.body.validation_errors import broken_rule, wrong_type

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

_MAX_DEPTH = 64


@dataclass(frozen=True, slots=True)
class AnyJson:
    """The rule of a JSON object of any content that is not too deep or too large."""

    max_bytes: int | None = None

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "object"}

    def _check(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise wrong_type("an object")
        if _depth(value) > _MAX_DEPTH:
            raise broken_rule(f"it is nested deeper than {_MAX_DEPTH}")
        try:
            size = len(json.dumps(value, ensure_ascii=False).encode())
        except UnicodeEncodeError:
            raise broken_rule("it is not valid Unicode text") from None
        if self.max_bytes is not None and size > self.max_bytes:
            raise broken_rule(f"it must have at most {self.max_bytes:,} bytes")
        return value


def _depth(value: Any) -> int:
    """Return how deep objects and arrays are nested."""
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, (dict, list))]:
        depth += 1
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return depth
