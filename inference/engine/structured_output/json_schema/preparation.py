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
import math
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from inference.engine.structured_output.json_schema.closing import (
    close,
    is_silent,
    names_all,
    parts_of_objects,
)
from inference.engine.structured_output.json_schema.formats import (
    FORMAT_PATTERNS,
    FORMATS,
)
from inference.engine.structured_output.json_schema.style import JsonStyle
from inference.engine.structured_output.json_schema.values import (
    MAX_DEPTH,
    TYPES,
    EngineLimit,
    SchemaError,
    TooLargeSchema,
    exact_number,
    expect,
    modern_keywords,
    nonempty,
    pattern_value,
    pattern_values,
    plain_value,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_BYTES = 128 * 1024
MAX_SCHEMAS = 2_000
#: llguidance's parser tracks every property that may come next.
MAX_OPTIONAL = 400
#: An automaton with this many states tests a number for being a multiple.
MAX_MULTIPLE = 10_000
MAX_MULTIPLES_TOGETHER = 100_000

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
#: All numbers of 18 digits, and most that have 64 bits.
_MAX_INTEGER = 9 * 10**18
_SUBSCHEMA = {"additionalProperties", "items"}
_SUBSCHEMA_LISTS = {"allOf", "anyOf", "prefixItems"}
_SUBSCHEMA_MAPS = {"properties", "patternProperties"}


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
                yield from _objects([self.definitions[_definition(value)]])
            elif keyword in _SUBSCHEMA:
                yield from _objects([value])
            elif keyword in _SUBSCHEMA_LISTS or keyword == "oneOf":
                yield from _objects(value)
            elif keyword in _SUBSCHEMA_MAPS:
                yield from _objects(value.values())

    def document(self, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the schema, or a part of it, as a self-contained document."""
        return {
            "x-guidance": self.style.options,
            "$defs": self.definitions,
            **(self.body if body is None else body),
        }


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
        self._multiples: list[int] = []
        self._places: dict[int, str] = {}

    def prepared(self, style: JsonStyle) -> PreparedSchema:
        body = self._child(self._root, "", 0)
        definitions = {}
        while self._pending:
            pointer, is_part, path = self._pending.pop()
            definitions[self._names[pointer, is_part]] = self._child(
                self._target(pointer, path), _place(pointer), 0, is_part=is_part
            )
        if body is False:
            raise SchemaError("no value can match it")
        ending = _ending(definitions)
        for (pointer, _), name in self._names.items():
            if name not in ending:
                path = _place(pointer)
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
            where = _join(path, keyword)
            try:
                if not self._is_inert(keyword, value, path):
                    self._keyword(out, keyword, value, where, depth, parts)
            except SchemaError as error:
                self._leave_out(error, where)
        for keyword, reason in _too_much_for_objects(out):
            where = _join(path, keyword)
            self._leave_out(SchemaError(reason, where), where)
            del out[keyword]
        if not is_part and names_all(modern):
            close(out)
        _bound_integers(out)
        return out

    def _is_inert(self, keyword: str, value: Any, path: str) -> bool:
        """Whether a keyword does not restrict the value."""
        where = _join(path, keyword)
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
        if keyword in _SUBSCHEMA:
            out[keyword] = self._child(value, path, depth + 1)
        elif keyword in _SUBSCHEMA_LISTS:
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
        elif keyword in _SUBSCHEMA_MAPS:
            expect(value, dict, "an object", path)
            is_pattern = keyword == "patternProperties"
            out[keyword] = {
                pattern_value(name, path) if is_pattern else name: self._child(
                    item, _join(path, name), depth + 1
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
            out[keyword] = self._multiple(value, path)
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

    def _multiple(self, value: Any, path: str) -> float:
        number: float = exact_number(value, path)
        if number <= 0:
            raise SchemaError("it must be above 0", path)
        digits = f"{number:.10f}".rstrip("0").rstrip(".")
        coefficient = max(int(digits.replace(".", "")), 1)
        multiples = [*self._multiples, coefficient]
        if float(digits) != number or sum(multiples) > MAX_MULTIPLE:
            raise SchemaError(
                "it is too large or too fine: without their decimal points all values "
                f"of 'multipleOf' may add up to {MAX_MULTIPLE}",
                path,
            )
        if math.lcm(*multiples) > MAX_MULTIPLES_TOGETHER:
            raise SchemaError(
                "the least common multiple of all values of 'multipleOf' is above "
                f"{MAX_MULTIPLES_TOGETHER}",
                path,
            )
        self._multiples = multiples
        return number

    # References ---------------------------------------------------------------

    def _option(self, option: Any, path: str, depth: int, is_part: bool) -> Any:  # noqa: FBT001
        """Return an option of oneOf with its reference resolved.

        Only then llguidance can see that no value matches two options.
        """
        plain = {"$ref", *_ANNOTATIONS}
        if not (isinstance(option, dict) and "$ref" in option and plain >= set(option)):
            return self._child(option, path, depth, is_part=is_part)
        pointer = _pointer(option["$ref"], _join(path, "$ref"))
        target = self._target(pointer, _join(path, "$ref"))
        if pointer in self._inlined:
            return self._child(option, path, depth, is_part=is_part)
        self._inlined.append(pointer)
        inlined = self._option(target, _place(pointer), depth, is_part)
        self._inlined.pop()
        return inlined

    def _name(self, reference: Any, path: str, is_part: bool) -> str:  # noqa: FBT001
        """Return the name of the definition that a reference's target becomes."""
        pointer = _pointer(reference, path)
        self._target(pointer, path)
        if (pointer, is_part) not in self._names:
            self._names[pointer, is_part] = str(len(self._names))
            self._pending.append((pointer, is_part, path))
        return self._names[pointer, is_part]

    def _target(self, pointer: str, path: str) -> Any:
        target = self._root
        for part in pointer.split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(target, dict) and key in target:
                target = target[key]
            elif isinstance(target, list) and key.isdecimal() and len(key) < 5:
                target = target[int(key)] if int(key) < len(target) else None
            else:
                target = None
            if target is None:
                raise SchemaError("there is nothing where it points to", path)
        return target


def _bound_integers(out: dict[str, Any]) -> None:
    """Bound integers that have no bounds: a small model writes digits without end."""
    if out.get("type") != "integer" or {"const", "enum", "multipleOf"} & out.keys():
        return
    if not {"minimum", "exclusiveMinimum"} & out.keys():
        out["minimum"] = -_MAX_INTEGER
    if not {"maximum", "exclusiveMaximum"} & out.keys():
        out["maximum"] = _MAX_INTEGER


def _too_much_for_objects(out: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield keywords of an object that llguidance cannot enforce, and why."""
    required = set(out.get("required", ()))
    optional = out.get("properties", {}).keys() - required
    if len(optional) > MAX_OPTIONAL:
        yield (
            "properties",
            f"{len(optional)} properties are optional, and at most {MAX_OPTIONAL} "
            "may be",
        )
    # A key that 'properties' does not list may come twice, but counts once.
    if out.get("minProperties", 0) > len(required) + 1:
        yield (
            "minProperties",
            "it can be at most one more than there are names in 'required'",
        )


def _ending(definitions: dict[str, Any]) -> set[str]:
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
    if "$ref" in schema and _definition(schema["$ref"]) not in ending:
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


def _objects(schemas: Iterable[Any]) -> list[dict[str, Any]]:
    return [schema for schema in schemas if isinstance(schema, dict)]


def _definition(reference: str) -> str:
    """Return the name of the definition that a prepared reference points to."""
    return reference.removeprefix("#/$defs/")


def _pointer(reference: Any, path: str) -> str:
    """Return where a reference points to: "" is the whole document."""
    expect(reference, str, "a string", path)
    if reference != "#" and not reference.startswith("#/"):
        raise SchemaError("only references like '#/$defs/name' are followed", path)
    return unquote(reference[1:])


def _place(pointer: str) -> str:
    return pointer.strip("/").replace("~1", "/").replace("~0", "~").replace("/", ".")


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
