"""References inside a schema: where they point to, and the paths of places."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from inference.engine.structured_output.json_schema.values import SchemaError, expect


def definition_name(reference: str) -> str:
    """Return the name of the definition that a prepared reference points to."""
    return reference.removeprefix("#/$defs/")


def pointer_of(reference: Any, path: str) -> str:
    """Return where a reference points to: "" is the whole document."""
    expect(reference, str, "a string", path)
    if reference != "#" and not reference.startswith("#/"):
        raise SchemaError("only references like '#/$defs/name' are followed", path)
    return unquote(reference[1:])


def target_of(root: Any, pointer: str, path: str) -> Any:
    """Return what a pointer of the reference at ``path`` means. Raises SchemaError."""
    target = root
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


def place_of(pointer: str) -> str:
    """Return the path of the place that a pointer means."""
    return pointer.strip("/").replace("~1", "/").replace("~0", "~").replace("/", ".")


def join(path: str, key: str) -> str:
    """Return the path of a member of what is at a path."""
    return f"{path}.{key}" if path else key
