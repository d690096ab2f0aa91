"""Objects and lists as nested elements: ``<KEY>VALUE</KEY>``, ``<item>VALUE</item>``.

A mark stands before each tag, so that values may contain anything else. Only the tool's
schema distinguishes a text from a number, and an empty object from an empty list.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inference.output_parsers import json_text
from inference.output_parsers.parameters import as_json, subschema, types_of
from inference.output_parsers.text_scanner import Delimiters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inference.output_parsers.text_scanner import Parse, Sink, TextScanner

_NAME = re.compile(r"[^<>\r\n]*")
_ITEM = "item"


@dataclass(slots=True)
class _Container:
    """An object or a list that has begun."""

    end: str
    schema: Any
    is_list: bool
    is_empty: bool = True


def copy_elements(
    scanner: TextScanner, sink: Sink, mark: str, name: str, schema: Mapping[str, Any]
) -> Parse[bool]:
    """Copy the content of an element as a JSON object, and take its end.

    Returns whether the object is complete; if not, the sink has what was read so far.
    An end that comes twice counts once. Nesting costs memory, not stack.
    """
    containers = [_Container(f"{mark}</{name}>", schema, is_list=False)]
    sink("{")
    latest_end = ""
    while containers:
        container = containers[-1]
        yield from scanner.space()
        end = yield from scanner.accept(*filter(None, (container.end, latest_end)))
        if end == container.end:
            sink("]" if container.is_list else "}")
            containers.pop()
            latest_end = end
        if end:
            continue
        if not (yield from scanner.accept(f"{mark}<")):
            return False
        key = yield from scanner.run(_NAME)
        if not (yield from scanner.accept(">")):
            return False
        sink("" if container.is_empty else ", ")
        container.is_empty = False
        if not container.is_list:
            sink(json.dumps(key, ensure_ascii=False) + ": ")
        inner = subschema(container.schema, None if container.is_list else key, schema)
        types = types_of(inner, schema)
        end = latest_end = f"{mark}</{key}>"
        is_container = "string" not in types and (
            yield from _begins_element(scanner, mark)
        )
        if is_container:
            is_list = yield from _is_list(scanner, mark, types)
            containers.append(_Container(end, inner, is_list))
            sink("[" if is_list else "{")
        elif not (yield from _copy_text(scanner, sink, end, types)):
            return False
    return True


def _begins_element(scanner: TextScanner, mark: str) -> Parse[bool]:
    yield from scanner.space()
    return (yield from scanner.at(f"{mark}<", f"{mark}</")) == f"{mark}<"


def _is_list(scanner: TextScanner, mark: str, types: frozenset[str]) -> Parse[bool]:
    if "array" in types and "object" not in types:
        return True
    has_items = yield from scanner.at(f"{mark}<{_ITEM}>")
    return bool(has_items) and ("array" in types or "object" not in types)


def _copy_text(
    scanner: TextScanner, sink: Sink, end: str, types: frozenset[str]
) -> Parse[bool]:
    """Copy a value that has no elements in it, and take the end after it."""
    delimiters = Delimiters(end)
    if "string" in types:
        sink('"')
        yield from scanner.until(delimiters, lambda text: sink(json_text.escaped(text)))
        if not (yield from scanner.accept(end)):
            return False
        sink('"')
        return True
    parts: list[str] = []
    yield from scanner.until(delimiters, parts.append)
    text = "".join(parts)
    if not (yield from scanner.accept(end)):
        sink(text)
        return False
    if text.strip() or not types & {"array", "object"}:
        sink(as_json(text, types))
    else:
        sink("[]" if "array" in types else "{}")
    return True
