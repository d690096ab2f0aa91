"""The base class of request bodies: a strict pydantic model.

A member is a field; its docstring is its description in /openapi.json, which is made
from the same models. ``body.validation_errors`` turns pydantic's errors into the API's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from inference.api.body.validation_errors import bad_request
from llm_manager.lib.quoting import quote

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema


#: What a schema says of a value beside its rule.
_ABOUT = ("description", "default")


class Body(BaseModel):
    """An object with these members and no others.

    A null counts as not given: OpenAI's clients send null for members that their caller
    left out.
    """

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        # Both "json" and "schema" are members' names here.
        protected_namespaces=(),
        use_attribute_docstrings=True,
    )

    #: The members by their names in JSON; pydantic uses the names of the fields.
    _names: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Note the members once the class is made."""
        super().__pydantic_init_subclass__(**kwargs)
        fields = cls.model_fields.items()
        cls._names = frozenset(field.alias or name for name, field in fields)

    @classmethod
    def parse(cls, body: Any) -> Self:
        """Return the model of a body. Raises BadRequest for the first fault."""
        try:
            return cls.model_validate(body)
        except ValidationError as error:
            raise bad_request(error, body) from None

    @model_validator(mode="before")
    @classmethod
    def _prepare(cls, body: Any) -> Any:
        """Drop members that are null, and all unknown members but the first.

        There may be hundreds of thousands, and pydantic would list each.
        """
        if not isinstance(body, dict):
            return body
        known = cls._names
        if not known.issuperset(body):
            unknown = next(name for name in body if name not in known)
            members = {name: body[name] for name in body if name in known}
            body = {**members, quote(unknown): True}
        if None in body.values():
            return {name: value for name, value in body.items() if value is not None}
        return body

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return the schema: required members first, and the others may be null."""
        schema = handler.resolve_ref_schema(handler(core_schema))
        properties, required = schema["properties"], schema.get("required", [])
        for each in (schema, *properties.values()):
            # A docstring has line breaks.
            if "description" in each:
                each["description"] = " ".join(each["description"].split())
        schema["properties"] = {name: properties[name] for name in required} | {
            name: _nullable(member)
            for name, member in properties.items()
            if name not in required
        }
        return schema


def _nullable(schema: JsonSchemaValue) -> JsonSchemaValue:
    """Return the schema of a member where null means the same as not given."""
    about = {name: schema[name] for name in _ABOUT if schema.get(name) is not None}
    rule = {name: value for name, value in schema.items() if name not in _ABOUT}
    if rule.get("anyOf", ())[-1:] != [{"type": "null"}]:
        rule = {"anyOf": [rule, {"type": "null"}]}
    return {**rule, **about}
