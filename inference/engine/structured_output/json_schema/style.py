"""How the JSON of an answer is spaced."""

from __future__ import annotations

from enum import Enum
from typing import Any

#: llguidance's options for every schema. Each character has at most one escape, so that
#: no key can be spelt in two ways.
_ESCAPES = {"json_allowed_escapes": 'nrbtf\\"'}


class JsonStyle(Enum):
    """The white space that an answer's JSON may have between its parts."""

    #: ``{"a": 1, "b": [2, 3]}``, as Python's ``json`` writes it and chat templates show
    #: it: no white space is the model's choice, so it is forced and costs no step.
    FIXED = "fixed"
    #: Between two parts nothing, one blank, or one or two line breaks and up to 40
    #: blanks or tabs: enough to indent.
    FLEXIBLE = "flexible"

    @property
    def options(self) -> dict[str, Any]:
        """The style as llguidance's ``x-guidance``."""
        if self is JsonStyle.FLEXIBLE:
            return {**_ESCAPES, "whitespace_pattern": r" |\n{1,2}[ \t]{0,40}"}
        return {
            **_ESCAPES,
            "whitespace_flexible": False,
            "item_separator": ", ",
            "key_separator": ": ",
        }
