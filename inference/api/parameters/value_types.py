"""Types of values that several requests have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, Discriminator, Field, WithJsonSchema
from pydantic_core import core_schema

from inference.api.body.validation_errors import broken_rule, too_many

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

_JSON_TYPES: dict[type, str] = {
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}

MAX_TOKENS = 2**31 - 1

#: A string of Unicode characters. JSON can contain half a surrogate pair, which no
#: tokenizer accepts; pydantic refuses it when it checks the length.
Text = Annotated[str, Field(min_length=0)]
NonEmpty = Annotated[str, Field(min_length=1)]
ModelName = Annotated[str, Field(min_length=1, max_length=255)]


@dataclass(frozen=True, slots=True)
class Between:
    """A number's bounds, both inclusive unless ``above`` excludes the lower one.

    Pydantic's own bounds are two rules, and its error names only one of the numbers.
    """

    low: float
    high: float
    above: bool = False

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        schema: Any = handler(source)
        schema["gt" if self.above else "ge"] = self.low
        schema["le"] = self.high
        lower = f"between {self.low} and"
        if self.above:
            lower = f"above {self.low} and at most"
        return core_schema.custom_error_schema(
            schema,
            "between",
            custom_error_message="{rule}",
            custom_error_context={
                "rule": f"{lower} {self.high}",
                "expected": "an integer" if schema["type"] == "int" else "a number",
            },
        )


def _not_zero(value: int) -> int:
    if value == 0:
        raise broken_rule("it must be at least 1, or -1 for no limit")
    return value


#: The maximum number of tokens of an answer; -1 is no limit, as in llama-server.
TokenLimit = Annotated[
    int,
    Between(-1, MAX_TOKENS),
    AfterValidator(_not_zero),
    WithJsonSchema(
        {
            "type": "integer",
            "anyOf": [{"const": -1}, {"minimum": 1, "maximum": MAX_TOKENS}],
        }
    ),
]


@dataclass(frozen=True, slots=True)
class MaxItems:
    """The maximum length of an array, with its own error code: ``too_many_messages``.

    A limit of the configuration is given as a function.
    """

    limit: int | Callable[[], int]
    what: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            self._check, handler(source)
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "maxItems": self._limit()}

    def _check(self, value: Any) -> Any:
        if isinstance(value, list) and len(value) > self._limit():
            raise too_many(self.what, len(value), self._limit())
        return value

    def _limit(self) -> int:
        return self.limit if isinstance(self.limit, int) else self.limit()


def _json_type(value: Any) -> str | None:
    """Return the JSON type of a value; what was an object may be a model already."""
    return "object" if isinstance(value, BaseModel) else _JSON_TYPES.get(type(value))


def by_json_type(expected: str) -> Discriminator:
    """Return a discriminator of a union's alternatives, with JSON types as tags.

    ``expected`` names the alternatives for the error.
    """
    return Discriminator(
        _json_type,
        custom_error_type="wrong_type",
        # No context: it would make the types of the union unhashable.
        custom_error_message=expected,
    )
