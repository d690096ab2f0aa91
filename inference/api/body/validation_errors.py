"""Turns pydantic's validation errors into errors of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticCustomError

from inference.api.body.unsupported import UNSUPPORTED_VALUES
from inference.api.errors import BadRequest
from llm_manager.lib.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

#: Pydantic's error types that have an error code of their own, with their messages.
_SENTENCES = {
    "extra_forbidden": ("unknown_parameter", "Unknown parameter: '{path}'."),
    "too_many": (
        "too_many_{what}",
        "Too many {what}: {count}, and at most {limit} are allowed.",
    ),
    "unsupported_parameter": (
        "unsupported_parameter",
        "Unsupported parameter: '{path}' is not served here; {rule}",
    ),
}
#: The violated rule in words, by pydantic's error type; formatted with its context.
_RULES = {
    "between": "it must be {rule}",
    "broken_rule": "{rule}",
    "finite_number": "it must be finite",
    "literal_error": "it must be {expected}",
    "string_pattern_mismatch": "it must match {pattern}",
    "string_too_long": "it must have at most {max_length} characters",
    "string_too_short": "it must not be empty",
    "string_unicode": "it is not valid Unicode text",
    "too_long": "it must have at most {max_length} elements",
    "too_short": "it must have at least {min_length} element",
    "union_tag_invalid": "'{tag}' is none of {expected_tags}",
}
#: The expected type in words, by pydantic's error type.
_EXPECTED = {
    "between": "{expected}",
    "bool_type": "a boolean",
    "dict_type": "an object",
    "float_type": "a number",
    "int_type": "an integer",
    "list_type": "an array",
    "literal_error": "a string",
    "model_attributes_type": "an object",
    "model_type": "an object",
    "string_type": "a string",
    "union_tag_invalid": "a string",
    "wrong_type": "{msg}",
}
_TYPE_NAMES: dict[type, str] = {
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
    type(None): "null",
}


def broken_rule(rule: str, at: str = "") -> PydanticCustomError:
    """Return the error of a validator whose value breaks a rule: "it must be …".

    ``at`` is the place in the value: ".type".
    """
    return PydanticCustomError("broken_rule", "{rule}", {"rule": rule, "at": at})


def wrong_type(expected: str) -> PydanticCustomError:
    """Return the error of a validator whose value is not what it expects."""
    return PydanticCustomError("wrong_type", "{expected}", {"expected": expected})


def too_many(what: str, count: int, limit: int) -> PydanticCustomError:
    """Return the error of a validator whose array is longer than a limit."""
    context = {"what": what, "count": count, "limit": limit}
    return PydanticCustomError("too_many", "{count}", context)


def missing(path: str) -> BadRequest:
    """Return the error of a request that lacks a member."""
    return BadRequest(
        f"Missing required parameter: '{path}'.",
        param=path,
        code="missing_required_parameter",
    )


def bad_request(error: ValidationError, value: Any, at: str = "") -> BadRequest:
    """Return the error for the first fault; missing members come last.

    ``value`` is what was validated, ``at`` its place in the body.
    """
    faults = error.errors(include_url=False)
    fault = next((each for each in faults if each["type"] != "missing"), faults[0])
    path = _path(fault, value, at)
    context = {"msg": fault["msg"], **fault.get("ctx", {})}
    for name in ("expected", "expected_tags"):
        if name in context:
            context[name] = context[name].replace("'", "")
    if "tag" in context:
        context["tag"] = quote(context["tag"])
    return _in_words(fault["type"], fault["input"], path, context)


def _in_words(kind: str, value: Any, path: str, context: dict[str, Any]) -> BadRequest:
    if kind.startswith("union_tag"):
        # The error belongs to the member that says which kind of object this is.
        tag = context["discriminator"].strip("'")
        path, value = f"{path}.{tag}", value.get(tag)
    path += context.get("at", "")
    if kind == "missing" or (value is None and kind.startswith("union_tag")):
        return missing(path)
    sentence = _SENTENCES.get(kind)
    if sentence is not None:
        code, message = (each.format(path=path, **context) for each in sentence)
        return BadRequest(message, param=path, code=code)
    hint = UNSUPPORTED_VALUES.get((path.rpartition(".")[2], str(value)))
    if hint and kind in ("literal_error", "union_tag_invalid"):
        return BadRequest(
            f"Unsupported value: '{path}' is '{value}', which is not served here. "
            f"{hint}",
            param=path,
            code="unsupported_parameter",
        )
    expected = _EXPECTED.get(kind, "").format_map(context)
    if expected and not (kind in _RULES and _is(expected, value)):
        got = _TYPE_NAMES.get(type(value), "something else")
        return BadRequest(
            f"Invalid type for '{path}': expected {expected}, got {got}.",
            param=path,
            code="invalid_type",
        )
    rule = _RULES[kind].format_map(context)
    return BadRequest(f"Invalid value for '{path}': {rule}.", param=path)


def _is(expected: str, value: Any) -> bool:
    name = _TYPE_NAMES.get(type(value))
    return name == expected or (name == "an integer" and expected == "a number")


def _path(fault: ErrorDetails, value: Any, at: str) -> str:
    """Return the place of a fault as ``messages[0].content``.

    Pydantic's location also contains the names of a union's alternatives, which are not
    members of the body.
    """
    path, place = at, value
    parts: Sequence[int | str] = fault["loc"]
    # Not in the body, or under a name that had to be shortened.
    last = parts[-1] if fault["type"] in ("missing", "extra_forbidden") else None
    for number, part in enumerate(parts, start=1):
        if isinstance(part, int):
            if isinstance(place, list):
                path, place = f"{path}[{part}]", place[part]
        elif isinstance(place, dict) and part in place:
            # A text part has a text: the kind's name, and then a member of it. What
            # follows any other member that is no object is the kind of its value.
            rest = parts[number:]
            is_whole = not isinstance(place[part], dict | list)
            if is_whole and any(each in place or each is last for each in rest):
                continue
            path, place = f"{path}.{quote(part)}", place[part]
        elif part is last:
            path = f"{path}.{part}"
    return path.removeprefix(".") or "body"
