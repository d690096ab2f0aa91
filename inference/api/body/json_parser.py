"""A strict JSON parser: refuses what is ambiguous or would lose information."""

from __future__ import annotations

import json
import math
from typing import IO, TYPE_CHECKING, Any, NoReturn

from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.parsers import BaseParser

from inference.api.errors import BadRequest, quote

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The most digits of a number: more than any field can hold, and quick to parse.
_MAX_DIGITS = 64
_UTF8 = ("utf-8", "utf8", "us-ascii", "ascii")


class StrictJSONParser(BaseParser):
    """Reads a body of JSON in UTF-8.

    Refuses what Python's parser accepts: duplicate keys (other parsers may keep another
    one), NaN and Infinity, and numbers that do not fit.
    """

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the value. Raises BadRequest or UnsupportedMediaType."""
        _check_type(media_type or "")
        try:
            return json.loads(
                stream.read().decode("utf-8"),
                object_pairs_hook=_object,
                parse_constant=_refuse_constant,
                parse_float=_float,
                parse_int=_int,
            )
        except UnicodeDecodeError as error:
            raise _malformed(f"byte {error.start} is not UTF-8") from None
        except json.JSONDecodeError as error:
            where = f"line {error.lineno}, column {error.colno}"
            raise _malformed(f"{error.msg} at {where}") from None
        except RecursionError:
            raise _malformed("it is nested too deep") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _malformed(f"the key '{quote(name)}' comes twice in one object")
            seen.add(name)
    return members


def _refuse_constant(text: str) -> NoReturn:
    raise _malformed(f"{text} is no JSON number")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _malformed(f"the number {quote(text)} is too large")
    return number


def _int(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise _malformed(f"the number {quote(text)} is too large")
    return int(text)


def _check_type(media_type: str) -> None:
    kind, *parameters = media_type.split(";")
    # REST framework gives any parser a body that is declared as */*.
    if kind.strip().lower() != StrictJSONParser.media_type:
        raise UnsupportedMediaType(media_type)
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        charset = value.strip().strip('"').lower()
        if name.strip().lower() == "charset" and charset not in _UTF8:
            raise UnsupportedMediaType(media_type, "The body must be JSON in UTF-8.")


def _malformed(reason: str) -> BadRequest:
    return BadRequest(f"The body is not valid JSON: {reason}.", code="invalid_json")
