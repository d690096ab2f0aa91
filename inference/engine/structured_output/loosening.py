"""Schemas whose keywords are enforced where that is possible, and else left out.

A tool that is not strict does not ask for more. Its schema may come from anywhere: a
server of tools, another language, a draft of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inference.engine.structured_output.compiling import InvalidGrammar, check
from inference.engine.structured_output.json_schema.preparation import (
    prepare_arguments,
)
from inference.engine.structured_output.json_schema.style import JsonStyle
from inference.engine.structured_output.json_schema.values import SchemaError
from inference.engine.structured_output.schema_faults import (
    Fault,
    find_fault,
    schema_grammar,
)

if TYPE_CHECKING:
    from inference.engine.structured_output.json_schema.prepared import PreparedSchema

#: Each costs some compilations.
_MAX_FAULTS = 20


@dataclass(frozen=True, slots=True)
class LooseSchema:
    """What of a schema can be enforced.

    ``left_out`` are the paths of what cannot, "" is the whole schema.
    """

    prepared: PreparedSchema
    left_out: tuple[str, ...]


def loose_arguments(
    schema: dict[str, Any], style: JsonStyle = JsonStyle.FIXED
) -> LooseSchema:
    """Return what can be enforced of the schema of a function's arguments."""
    left_out: list[str] = []
    try:
        prepared = prepare_arguments(schema, style, left_out)
    except SchemaError:
        return _any_object(style)
    for _ in range(_MAX_FAULTS):
        try:
            check(schema_grammar(prepared.document()))
        except InvalidGrammar as error:
            fault = find_fault(prepared, error)
            if fault.body is prepared.body and fault.keyword in (None, "type"):
                break
            if fault.keyword == "oneOf":
                left_out += _let_options_overlap(prepared)
            else:
                left_out.append(fault.path)
                _repair(fault)
        else:
            return LooseSchema(prepared, tuple(dict.fromkeys(left_out)))
    return _any_object(style)


def _repair(fault: Fault) -> None:
    """Take the faulty keyword out of the schema, or else all of the faulty part."""
    if fault.keyword is None:
        fault.body.clear()
        return
    del fault.body[fault.keyword]
    if fault.keyword == "patternProperties":
        # It asked for properties without a name.
        fault.body.pop("additionalProperties", None)


def _let_options_overlap(prepared: PreparedSchema) -> list[str]:
    """Enforce of each ``oneOf`` that an option matches, not that no other does.

    Returns the paths of all of them.
    """
    paths = []
    seen: set[int] = set()
    bodies = [prepared.body]
    while bodies:
        body = bodies.pop()
        if id(body) in seen:
            continue
        seen.add(id(body))
        bodies += prepared.parts(body)
        if "oneOf" in body:
            options = {"anyOf": body.pop("oneOf")}
            body["allOf"] = [*body.get("allOf", ()), options]
            paths.append(f"{prepared.places[id(body)]}.oneOf".removeprefix("."))
    return paths


def _any_object(style: JsonStyle) -> LooseSchema:
    prepared = prepare_arguments(
        {"type": "object", "additionalProperties": True}, style
    )
    return LooseSchema(prepared, ("",))
