"""How a family writes calls, as data: for prompts and for grammars of answers.

An answer that has only calls is

    begin CALL (separator CALL)* end

and a call is

    before_name NAME between ARGUMENTS after

where ARGUMENTS is a JSON object. Families with a ``parameter`` write each argument as

    before_name KEY between VALUE after

where VALUE is the bare text of a string, or JSON. llama.cpp has the same idea in
``xml_tool_call_format`` (common/chat-parser-xml-toolcall.h).

In content, the parser takes each of ``openers`` for the beginning of a call; the first
one is what the model writes. Families without openers write calls without a tag. After
reasoning the text continues with ``after_reasoning``; an answer without calls is its
text with ``before_content`` before it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True)
class PairFraming:
    """The fixed text around a name and its value.

    ``for_strings``: the pair where the value is a string, if that is another one.
    """

    before_name: str
    between: str
    after: str
    for_strings: PairFraming | None = None

    def around(self, *, is_string: bool) -> PairFraming:
        """Return the pair around a value."""
        return self.for_strings if is_string and self.for_strings else self

    def fill(self, name: str, value: str) -> str:
        """Return the name and the value with the text around them."""
        return self.before_name + name + self.between + value + self.after


@dataclass(frozen=True, slots=True)
class Framing:
    """The fixed text of calls. Without a separator, an answer has at most one call."""

    call: PairFraming
    begin: str = ""
    separator: str | None = None
    end: str = ""
    parameter: PairFraming | None = None
    openers: tuple[str, ...] = ()
    after_reasoning: str = ""
    before_content: str = ""

    def write(self, calls: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
        """Return the text of calls, each given as a name and its arguments."""
        written = [self.call.fill(name, self._arguments(a)) for name, a in calls]
        return self.begin + (self.separator or "").join(written) + self.end

    def _arguments(self, arguments: Mapping[str, Any]) -> str:
        if self.parameter is None:
            return json.dumps(arguments, ensure_ascii=False)
        texts = []
        for key, value in arguments.items():
            is_string = isinstance(value, str)
            text = value if is_string else json.dumps(value, ensure_ascii=False)
            texts.append(self.parameter.around(is_string=is_string).fill(key, text))
        return "".join(texts)
