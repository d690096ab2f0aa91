"""JSON as RFC 8259 has it: refuses what is ambiguous or would lose information.

Knows no Django: large bodies are parsed in a small process of their own.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from llm_manager.lib.quoting import quote

#: The most digits of a number: more than any field can hold, and quick to parse.
_MAX_DIGITS = 64


class MalformedJSON(ValueError):
    """Why a body is not JSON: the end of "The body is not valid JSON: …"."""


def parse_json(data: bytes) -> Any:
    """Return the value of a body in UTF-8. Raises MalformedJSON.

    Refuses what Python's parser accepts: duplicate keys (other parsers may keep another
    one), NaN and Infinity, and numbers that do not fit.
    """
    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_float,
            parse_int=_int,
        )
    except UnicodeDecodeError as error:
        raise MalformedJSON(f"byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise MalformedJSON(f"{error.msg} at {where}") from None
    except RecursionError:
        raise MalformedJSON("it is nested too deep") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise MalformedJSON(
                    f"the key '{quote(name)}' comes twice in one object"
                )
            seen.add(name)
    return members


def _refuse_constant(text: str) -> NoReturn:
    raise MalformedJSON(f"{text} is no JSON number")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise MalformedJSON(f"the number {quote(text)} is too large")
    return number


def _int(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise MalformedJSON(f"the number {quote(text)} is too large")
    return int(text)
