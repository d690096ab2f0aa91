"""How a family writes calls, as data: for prompts and for grammars of answers.

An answer that has only calls is

    begin CALL (separator CALL)* end

and a call is

    before_name NAME between ARGUMENTS after

where ARGUMENTS is a JSON object. Families with a ``parameter`` write each argument as

    before_name KEY between VALUE after

where VALUE is the bare text of a string, or JSON. llama.cpp has the same idea in
``xml_tool_call_format`` (common/chat-parser-xml-toolcall.h). If there is a
``notation``, it says how arguments and their values are written instead.

In content, the parser takes each of ``openers`` for the beginning of a call; the first
one is what the model writes. Families without openers write calls without a tag. After
reasoning the text continues with ``after_reasoning``; an answer without calls is its
text with ``before_content`` before it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inference.output_parsers.notations import python
from inference.output_parsers.notations.pair_framing import PairFraming, type_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from inference.output_parsers.notations.notation import Notation


__all__ = ["PYTHON", "Framing", "PairFraming", "PythonNotation"]


@dataclass(frozen=True, slots=True)
class PythonNotation:
    """Arguments and values are literals of Python, a comma between the arguments."""

    separator: str = ", "


PYTHON = PythonNotation()


@dataclass(frozen=True, slots=True)
class Framing:
    """The fixed text of calls. Without a separator, an answer has at most one call."""

    call: PairFraming
    begin: str = ""
    separator: str | None = None
    end: str = ""
    parameter: PairFraming | None = None
    notation: Notation | PythonNotation | None = None
    openers: tuple[str, ...] = ()
    after_reasoning: str = ""
    before_content: str = ""

    def write(self, calls: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
        """Return the text of calls, each given as a name and its arguments."""
        written = [self.call.fill(name, self._arguments(a)) for name, a in calls]
        return self.begin + (self.separator or "").join(written) + self.end

    def _arguments(self, arguments: Mapping[str, Any]) -> str:
        if isinstance(self.notation, PythonNotation):
            return python.write_arguments(arguments)
        if self.notation is not None:
            return self.notation.members(arguments)
        if self.parameter is None:
            return json.dumps(arguments, ensure_ascii=False)
        texts = []
        for key, value in arguments.items():
            is_string = isinstance(value, str)
            text = value if is_string else json.dumps(value, ensure_ascii=False)
            pair = self.parameter.around(is_string=is_string)
            texts.append(pair.fill(key, text, type_of(value)))
        return "".join(texts)
