"""Kinds of values that the members of several requests have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Discriminator, Field
from pydantic_core import core_schema

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

_JSON_TYPES: dict[type, str] = {str: "string", list: "array", dict: "object"}

#: A string of at least one character.
NonEmpty = Annotated[str, Field(min_length=1)]
ModelName = Annotated[str, Field(min_length=1, max_length=255)]


@dataclass(frozen=True, slots=True)
class Between:
    """A number's bounds, both included unless ``above`` leaves the lower one out.

    pydantic's own bounds are two rules, and its error has one of the numbers.
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


def by_json_type(expected: str) -> Discriminator:
    """Return what picks a union's alternative, each with its JSON type as the tag.

    ``expected`` names the alternatives for the error.
    """
    return Discriminator(
        lambda value: _JSON_TYPES.get(type(value)),
        custom_error_type="wrong_type",
        custom_error_message="{expected}",
        custom_error_context={"expected": expected},
    )
