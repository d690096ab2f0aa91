"""Members of OpenAI's API that are not supported: refused by name, never ignored."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticCustomError, PydanticKnownError, core_schema

if TYPE_CHECKING:
    from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

#: Unsupported values of a member ``type`` or ``role``, and what to use instead.
UNSUPPORTED_VALUES = {
    # Parts of a message.
    ("type", "file"): "Only text is.",
    ("type", "image_url"): "Images are in messages of the user and of tools.",
    ("type", "input_audio"): (
        "Sounds are in messages of the user and of tools, of chat completions."
    ),
    ("type", "input_file"): "Only text is.",
    ("type", "input_image"): "Only text is.",
    ("type", "refusal"): "Only an assistant's message has refusals.",
    # Tools.
    ("type", "mcp"): "Give the tools of the server as functions.",
}


@dataclass(frozen=True, slots=True)
class Unsupported:
    """The rule of a member that is unsupported unless its value asks for nothing.

    Many clients send such values by default. ``values`` are the accepted ones;
    ``any_text`` accepts every string: a label without an effect on the answer.
    ``may_be_left_out``: other values are hints that the answer can go without;
    ``is_text``: if they are strings, as the answer repeats them.
    """

    values: tuple[Any, ...] = ()
    any_text: bool = False
    hint: str = ""
    may_be_left_out: bool = False
    is_text: bool = False

    def check(self, value: Any) -> Any:
        """Return the value. Raises PydanticCustomError if it asks for something."""
        if self.is_text and not isinstance(value, str | None):
            raise PydanticKnownError("string_type")
        if self.asks_for_nothing(value) or self.may_be_left_out:
            return value
        accepted = self.accepted()
        rule = f"only {accepted} is accepted" if accepted else "leave it out"
        raise PydanticCustomError(
            "unsupported_parameter", "{rule}", {"rule": f"{rule}.{self.hint}"}
        )

    def asks_for_nothing(self, value: Any) -> bool:
        """Return whether the value asks for what happens anyway."""
        if self.any_text and isinstance(value, str):
            return True
        return any(type(value) is type(each) and value == each for each in self.values)

    def accepted(self) -> str:
        """Return the accepted values in words; "" if only null is accepted."""
        if self.any_text:
            return "any string"
        return " or ".join(json.dumps(value) for value in self.values)

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        if self.may_be_left_out:
            text = "A hint that has no effect here: left out, and said."
            type_ = {"type": ["string", "null"]} if self.is_text else {}
            return {**type_, "description": text}
        rule: JsonSchemaValue = {"enum": list(self.values)}
        if self.any_text:
            rule = {"type": "string"}
        elif not self.values:
            rule = {"type": "null"}
        text = "Not supported; accepted where it asks for nothing."
        return {**rule, "description": text}


def unsupported_members(model: type[BaseModel]) -> dict[str, Unsupported]:
    """Return the unsupported members of a body, by name."""
    return {
        name: rule
        for name, field in model.model_fields.items()
        for rule in field.metadata
        if isinstance(rule, Unsupported)
    }


def hints_left_out(body: BaseModel) -> list[str]:
    """Return the members of a body whose hints have no effect."""
    return [
        name
        for name, rule in unsupported_members(type(body)).items()
        if name in body.model_fields_set
        and rule.may_be_left_out
        and not rule.asks_for_nothing(getattr(body, name))
    ]
