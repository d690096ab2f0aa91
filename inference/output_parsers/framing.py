"""How calls are written, as data: what a constrained decoder needs.

An answer that is nothing but calls is

    begin CALL (separator CALL)* end

and a call is

    before_name NAME between ARGUMENTS after

ARGUMENTS is a JSON object. Where ``parameter`` is set, it is instead one piece

    before_name KEY between VALUE after

for each argument, and a VALUE is the bare text of a string, or JSON. In these
texts a dialect's marks stand for control tokens, where the model's vocabulary
has them. In content a parser takes each of ``openers`` for the beginning of a call;
the first is how one begins in fact. Where there are none, no mark announces a call.
With reasoning before it, the text begins ``after_reasoning``. An answer
without calls is its text, ``before_content`` before it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True)
class PairFraming:
    """The fixed text around a name and what belongs to it."""

    before_name: str
    between: str
    after: str

    def fill(self, name: str, value: str) -> str:
        """Return the whole."""
        return self.before_name + name + self.between + value + self.after


@dataclass(frozen=True, slots=True)
class Framing:
    """The fixed text of calls. Without a separator there can be only one call."""

    call: PairFraming
    begin: str = ""
    separator: str | None = None
    end: str = ""
    parameter: PairFraming | None = None
    openers: tuple[str, ...] = ()
    after_reasoning: str = ""
    before_content: str = ""

    def write(self, calls: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
        """Return the text of these calls: each a name and its arguments."""
        written = [self.call.fill(name, self._arguments(a)) for name, a in calls]
        return self.begin + (self.separator or "").join(written) + self.end

    def _arguments(self, arguments: Mapping[str, Any]) -> str:
        if self.parameter is None:
            return json.dumps(arguments, ensure_ascii=False)
        return "".join(
            self.parameter.fill(
                key,
                value
                if isinstance(value, str)
                else json.dumps(value, ensure_ascii=False),
            )
            for key, value in arguments.items()
        )
