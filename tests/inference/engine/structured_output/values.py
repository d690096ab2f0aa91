"""Whether a text is a value of a schema, as another implementation sees it."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import jsonschema  # type: ignore[import-untyped]

_CHECKER = jsonschema.Draft202012Validator.FORMAT_CHECKER


def is_value_of(schema: dict[str, Any], text: str) -> None:
    """Raise ValidationError or JSONDecodeError unless the text is such a value."""
    # Decimals: 0.3 is a multiple of 0.1, but no float is.
    value = json.loads(text, parse_float=Decimal)
    exact = json.loads(json.dumps(schema), parse_float=Decimal)
    is_draft_4 = exact.get("exclusiveMinimum") is True
    is_tuple = isinstance(exact.get("items"), list)
    old = jsonschema.Draft4Validator if is_draft_4 else jsonschema.Draft7Validator
    kind = old if is_draft_4 or is_tuple else jsonschema.Draft202012Validator
    kind(exact, format_checker=_CHECKER).validate(value)
