"""Prepares JSON schemas for llguidance; refuses what cannot be enforced.

llguidance ignores unknown keywords, and does not limit some that it knows. So each
keyword is checked here: it is enforced, it is an annotation such as a title, or it is
an error with its path. Older drafts are rewritten as 2020-12, and references get plain
names.

An object that names properties and says nothing of others is closed, as in llama.cpp
and unlike in JSON Schema: a model that may go on writing properties does.
"""

from __future__ import annotations

import json
import re
from typing import Any

from inference.engine.structured_output.json_schema.closing import (
    close,
    is_silent,
    names_all,
    parts_of_objects,
)
from inference.engine.structured_output.json_schema.ending import ending_definitions
from inference.engine.structured_output.json_schema.engine_limits import (
    Multiples,
    bound_integers,
    too_much_for_objects,
)
from inference.engine.structured_output.json_schema.formats import (
    FORMAT_PATTERNS,
    FORMATS,
)
from inference.engine.structured_output.json_schema.prepared import (
    SUBSCHEMA,
    SUBSCHEMA_LISTS,
    SUBSCHEMA_MAPS,
    PreparedSchema,
)
from inference.engine.structured_output.json_schema.references import (
    join,
    place_of,
    pointer_of,
    target_of,
)
from inference.engine.structured_output.json_schema.style import JsonStyle
from inference.engine.structured_output.json_schema.values import (
    MAX_DEPTH,
    EngineLimit,
    SchemaError,
    TooLargeSchema,
    expect,
    modern_keywords,
    nonempty,
    pattern_value,
    pattern_values,
    plain_value,
)

MAX_BYTES = 128 * 1024
MAX_SCHEMAS = 2_000

_ANNOTATIONS = {
    "$comment",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "default",
    "deprecated",
    "deprecationMessage",
    "description",
    "discriminator",
    "enumDescriptions",
    "enumNames",
    "errorMessage",
    "example",
    "examples",
    "externalDocs",
    "id",
    "markdownDescription",
    "markdownEnumDescriptions",
    "readOnly",
    "title",
    "writeOnly",
}
_DIALECTS = re.compile(
    r"https?://json-schema\.org/"
    r"(draft/(2020-12|2019-09)/schema|(draft-0[467]/)?schema)#?"
)


def prepare_schema(
    schema: Any,
    style: JsonStyle = JsonStyle.FIXED,
    left_out: list[str] | None = None,
) -> PreparedSchema:
    """Return the prepared schema. Raises SchemaError.

    With ``left_out``, patterns and bounds that cannot be enforced are left out, and
    their paths are added there.
    """
    return _Preparation(schema, left_out, only_limits=True).prepared(style)


def prepare_arguments(
    schema: dict[str, Any],
    style: JsonStyle = JsonStyle.FIXED,
    left_out: list[str] | None = None,
) -> PreparedSchema:
    """Return the prepared schema of a function's arguments. Raises SchemaError.

    With ``left_out``, what cannot be
    enforced is left out of the schema, and its path is added there; then only a schema
    that is too large is an error.
    """
    return _Preparation(schema_of_arguments(schema), left_out).prepared(style)


def schema_of_arguments(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a function's arguments: none, if it names none."""
    return {**schema, "additionalProperties": False} if is_silent(schema) else schema


class _Preparation:
    def __init__(
        self,
        root: Any,
        left_out: list[str] | None = None,
        *,
        only_limits: bool = False,
    ) -> None:
        """``left_out`` None: what cannot be enforced is an error.

        ``only_limits``: so is everything but a limit of llguidance's.
        """
        self._root = root
        self._left_out = left_out
        self._only_limits = only_limits
        # A definition that is only a part of objects has a name of its own.
        self._names: dict[tuple[str, bool], str] = {}
        self._pending: list[tuple[str, bool, str]] = []
        self._inlined: list[str] = []
        self._count = 0
        self._multiples = Multiples()
        self._places: dict[int, str] = {}

    def prepared(self, style: JsonStyle) -> PreparedSchema:
        body = self._child(self._root, "", 0)
        definitions = {}
        while self._pending:
            pointer, is_part, path = self._pending.pop()
            definitions[self._names[pointer, is_part]] = self._child(
                target_of(self._root, pointer, path),
                place_of(pointer),
                0,
                is_part=is_part,
            )
        if body is False:
            raise SchemaError("no value can match it")
        ending = ending_definitions(definitions)
        for (pointer, _), name in self._names.items():
            if name not in ending:
                path = place_of(pointer)
                error = SchemaError("no value that ends can match it", path)
                self._leave_out(error, path)
                definitions[name] = True
        body = {} if body is True else body
        prepared = PreparedSchema(body, definitions, self._places, style)
        if len(json.dumps(prepared.document())) > MAX_BYTES:
            raise TooLargeSchema(f"it is larger than {MAX_BYTES} bytes")
        return prepared

    def _leave_out(self, error: SchemaError, path: str) -> None:
        """Note what is left out because of an error, or raise the error."""
        if self._left_out is None or isinstance(error, TooLargeSchema):
            raise error
        if self._only_limits and not isinstance(error, EngineLimit):
            raise error
        self._left_out.append(path)

    def _child(
        self, schema: Any, path: str, depth: int, *, is_part: bool = False
    ) -> Any:
        """Return a prepared schema; one that has to be left out allows anything."""
        try:
            return self._schema(schema, path, depth, is_part=is_part)
        except SchemaError as error:
            self._leave_out(error, path)
            return True

    def _schema(self, schema: Any, path: str, depth: int, *, is_part: bool) -> Any:
        """Return a prepared schema.

        ``is_part``: another schema adds properties to the object, so it stays open.
        """
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, dict):
            raise SchemaError("a schema must be an object or a boolean", path)
        self._count += 1
        if self._count > MAX_SCHEMAS:
            raise TooLargeSchema(f"it has more than {MAX_SCHEMAS} schemas in it", path)
        if depth > MAX_DEPTH:
            raise SchemaError(f"it is nested deeper than {MAX_DEPTH} schemas", path)
        out: dict[str, Any] = {}
        self._places[id(out)] = path
        modern = modern_keywords(schema, path)
        parts = is_part or parts_of_objects(modern)
        for keyword, value in modern.items():
            where = join(path, keyword)
            try:
                if not self._is_inert(keyword, value, path):
                    self._keyword(out, keyword, value, where, depth, parts)
            except SchemaError as error:
                self._leave_out(error, where)
        for keyword, reason in too_much_for_objects(out):
            where = join(path, keyword)
            self._leave_out(SchemaError(reason, where), where)
            del out[keyword]
        if not is_part and names_all(modern):
            close(out)
        bound_integers(out)
        return out

    def _is_inert(self, keyword: str, value: Any, path: str) -> bool:
        """Whether a keyword does not restrict the value."""
        where = join(path, keyword)
        if keyword in ("$schema", "$id") and not path:
            is_known = isinstance(value, str) and _DIALECTS.fullmatch(value)
            if keyword == "$schema" and not is_known:
                raise SchemaError("it is none of the known dialects", where)
            return True
        if keyword in ("$defs", "definitions"):
            expect(value, dict, "an object", where)
            return True
        if keyword == "uniqueItems" and value is False:
            return True
        if keyword == "propertyNames" and value in (True, {}, {"type": "string"}):
            return True
        is_extension = keyword.startswith("x-") and keyword != "x-guidance"
        return keyword in _ANNOTATIONS or is_extension

    def _keyword(
        self,
        out: dict[str, Any],
        keyword: str,
        value: Any,
        path: str,
        depth: int,
        parts: bool,  # noqa: FBT001
    ) -> None:
        """Write one keyword to ``out``, or refuse it."""
        if keyword in SUBSCHEMA:
            out[keyword] = self._child(value, path, depth + 1)
        elif keyword in SUBSCHEMA_LISTS:
            out[keyword] = [
                *out.get(keyword, []),
                *(
                    self._child(
                        item,
                        f"{path}[{index}]",
                        depth + 1,
                        is_part=parts and keyword != "prefixItems",
                    )
                    for index, item in enumerate(nonempty(value, path))
                ),
            ]
        elif keyword in SUBSCHEMA_MAPS:
            expect(value, dict, "an object", path)
            is_pattern = keyword == "patternProperties"
            out[keyword] = {
                pattern_value(name, path) if is_pattern else name: self._child(
                    item, join(path, name), depth + 1
                )
                for name, item in value.items()
            }
        elif keyword == "oneOf":
            out[keyword] = [
                self._option(item, f"{path}[{index}]", depth + 1, parts)
                for index, item in enumerate(nonempty(value, path))
            ]
        elif keyword == "$ref":
            out[keyword] = f"#/$defs/{self._name(value, path, parts)}"
        elif keyword == "format":
            self._format(out, value, path)
        elif keyword == "pattern":
            first, *others = pattern_values(value, path)
            out[keyword] = first
            for other in others:
                out["allOf"] = [*out.get("allOf", []), {"pattern": other}]
        elif keyword == "multipleOf":
            out[keyword] = self._multiples.add(value, path)
        else:
            out[keyword] = plain_value(keyword, value, path)

    def _format(self, out: dict[str, Any], value: Any, path: str) -> None:
        expect(value, str, "a string", path)
        if value not in FORMATS:
            known = ", ".join(sorted(FORMATS))
            raise SchemaError(f"it must be one of {known}", path)
        if value in FORMAT_PATTERNS:
            pattern = {"pattern": FORMAT_PATTERNS[value]}
            out["allOf"] = [*out.get("allOf", []), pattern]
        else:
            out["format"] = value

    # References ---------------------------------------------------------------

    def _option(self, option: Any, path: str, depth: int, is_part: bool) -> Any:  # noqa: FBT001
        """Return an option of oneOf with its reference resolved.

        Only then llguidance can see that no value matches two options.
        """
        plain = {"$ref", *_ANNOTATIONS}
        if not (isinstance(option, dict) and "$ref" in option and plain >= set(option)):
            return self._child(option, path, depth, is_part=is_part)
        pointer = pointer_of(option["$ref"], join(path, "$ref"))
        target = target_of(self._root, pointer, join(path, "$ref"))
        if pointer in self._inlined:
            return self._child(option, path, depth, is_part=is_part)
        self._inlined.append(pointer)
        inlined = self._option(target, place_of(pointer), depth, is_part)
        self._inlined.pop()
        return inlined

    def _name(self, reference: Any, path: str, is_part: bool) -> str:  # noqa: FBT001
        """Return the name of the definition that a reference's target becomes."""
        pointer = pointer_of(reference, path)
        target_of(self._root, pointer, path)
        if (pointer, is_part) not in self._names:
            self._names[pointer, is_part] = str(len(self._names))
            self._pending.append((pointer, is_part, path))
        return self._names[pointer, is_part]
