"""Collects what readers find: numbers calls, trims white space, joins pieces.

White space between the parts of an answer (reasoning, content, calls) belongs to the
format and is dropped, as llama.cpp and vLLM do. Text that continues after another part
starts on a new line. White space within a part, and around an answer that is only
content, is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inference.output_parsers.deltas import (
    ContentDelta,
    Delta,
    ReasoningDelta,
    ToolCallArguments,
    ToolCallBegin,
)

if TYPE_CHECKING:
    from inference.output_parsers.ids import NewId

#: The request's tools by name, each with the JSON schema of its parameters.
ToolSchemas = Mapping[str, Mapping[str, Any]]

_SPACE = " \t\r\n"


@dataclass(slots=True)
class _Call:
    """A call as far as it has been read; ``is_held``: it may be a repeated one."""

    begin: ToolCallBegin
    is_held: bool
    pieces: list[str] = field(default_factory=list)

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)


class DeltaWriter:
    """Collects deltas until they are drained."""

    def __init__(
        self,
        tools: ToolSchemas,
        new_id: NewId,
        max_calls: int | None,
        *,
        names_first: bool = False,
        only_calls: bool = False,
    ) -> None:
        """``only_calls``: a repeated call, or text after a call, ends the answer."""
        self.tools = tools
        #: A JSON object is a call only if it begins with its name.
        self.names_first = names_first
        #: The answer has all calls that it may have; further text is dropped.
        self.is_full = False
        #: The text that comes now is reasoning or one of its tags.
        self.is_reasoning = False
        self._new_id = new_id
        self._max_calls = max_calls
        self._only_calls = only_calls
        self._calls: list[_Call] = []
        self._ids: set[str] = set()
        self._deltas: list[Delta] = []
        # The pieces of the latest delta, and its class.
        self._pieces: list[str] = []
        self._open: type[Delta] = ContentDelta
        # The class of the latest text, and the white space after it, held back.
        self._text: type[Delta] | None = None
        self._spaces: list[str] = []
        self._is_separated = False
        self._written: set[type[Delta]] = set()

    def empty_copy(self) -> DeltaWriter:
        """Return a writer for the same answer that has nothing yet."""
        return DeltaWriter(self.tools, self._new_id, None, names_first=self.names_first)

    def content(self, text: str) -> None:
        self._write(ContentDelta, text)

    def reasoning(self, text: str) -> None:
        self._write(ReasoningDelta, text)

    def begin(self, name: str, call_id: str = "") -> None:
        """Begin a call of one of the request's tools.

        Without an id, or with the id of another call, it gets a new one.
        """
        if self.is_full:
            return
        self.separate()
        self._flush()
        number = index = len(self._calls)
        while not call_id or call_id in self._ids:
            call_id, number = self._new_id(name, number), number + 1
        begin = ToolCallBegin(index, call_id, name)
        call = _Call(begin, is_held=bool(self._similar(name)))
        self._ids.add(call_id)
        self._calls.append(call)
        if not call.is_held:
            self._deltas.append(begin)

    def arguments(self, text: str) -> None:
        """Add to the arguments of the latest call, as JSON text."""
        if self.is_full:
            return
        call = self._calls[-1]
        call.pieces.append(text)
        if not call.is_held:
            self._add(ToolCallArguments, text)
        elif not self._similar(call.begin.name, call.arguments):
            self._release(call)

    def end(self) -> None:
        if self.is_full:
            return
        call = self._calls[-1]
        if call.is_held and call.arguments in self._similar(call.begin.name):
            self._calls.pop()
            self.is_full = True
            return
        self._release(call)
        self.is_full = len(self._calls) == self._max_calls

    def _similar(self, name: str, beginning: str = "") -> list[str]:
        """Return the arguments of earlier calls that the latest one may repeat."""
        if not self._only_calls:
            return []
        written = [
            each.arguments
            for each in self._calls
            if each.begin.name == name and not each.is_held
        ]
        return [each for each in written if each.startswith(beginning)]

    def _release(self, call: _Call) -> None:
        """Write what was held back of a call."""
        if call.is_held:
            call.is_held = False
            self._deltas.append(call.begin)
            self._add(ToolCallArguments, call.arguments)

    def separate(self) -> None:
        """End a part of the answer: the white space around this place is dropped."""
        self._spaces.clear()
        self._is_separated = True

    def close(self) -> None:
        """Write what is held back at the end of the answer."""
        if self._calls and not self.is_full:
            self._release(self._calls[-1])
        if self._text and self._spaces:
            self._add(self._text, "".join(self._spaces))

    def drain(self) -> list[Delta]:
        """Return the deltas since the last call."""
        self._flush()
        deltas, self._deltas = self._deltas, []
        return deltas

    def _write(self, kind: type[Delta], text: str) -> None:
        if self.is_full or not text:
            return
        if self._text not in (None, kind):
            self.separate()
        if self._is_separated:
            text = text.lstrip(_SPACE)
            if not text:
                return
            if self._only_calls and self._calls:
                self.is_full = True
                return
            self._is_separated = False
            if kind in self._written:
                self._spaces = ["\n"]
        self._text = kind
        body = text.rstrip(_SPACE)
        if body:
            self._add(kind, "".join(self._spaces) + body)
            self._spaces.clear()
            self._written.add(kind)
        self._spaces.append(text[len(body) :])

    def _add(self, kind: type[Delta], text: str) -> None:
        if kind is not self._open:
            self._flush()
            self._open = kind
        if text:
            self._pieces.append(text)

    def _flush(self) -> None:
        text = "".join(self._pieces)
        self._pieces.clear()
        if not text:
            return
        if self._open is ToolCallArguments:
            self._deltas.append(ToolCallArguments(len(self._calls) - 1, text))
        elif self._open is ReasoningDelta:
            self._deltas.append(ReasoningDelta(text))
        else:
            self._deltas.append(ContentDelta(text))
