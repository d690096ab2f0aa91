"""Collects what readers find: numbers calls, trims white space, joins pieces.

White space between the parts of an answer (reasoning, content, calls) belongs to the
format and is dropped, as llama.cpp and vLLM do. Text that continues after another part
starts on a new line. White space within a part, and around an answer that is only
content, is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
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


class DeltaWriter:
    """Collects deltas until they are drained."""

    def __init__(
        self,
        tools: ToolSchemas,
        new_id: NewId,
        max_calls: int | None,
        *,
        names_first: bool = False,
    ) -> None:
        self.tools = tools
        #: A JSON object is a call only if it begins with its name.
        self.names_first = names_first
        #: ``max_calls`` calls are complete; further text is dropped.
        self.is_full = False
        #: The text that comes now is reasoning or one of its tags.
        self.is_reasoning = False
        self._new_id = new_id
        self._max_calls = max_calls
        self._num_calls = 0
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
        index = self._num_calls
        while not call_id or call_id in self._ids:
            call_id, index = self._new_id(name, index), index + 1
        self._ids.add(call_id)
        self._deltas.append(ToolCallBegin(self._num_calls, call_id, name))
        self._num_calls += 1

    def arguments(self, text: str) -> None:
        """Add to the arguments of the latest call, as JSON text."""
        if not self.is_full:
            self._add(ToolCallArguments, text)

    def end(self) -> None:
        self.is_full = self._num_calls == self._max_calls

    def separate(self) -> None:
        """End a part of the answer: the white space around this place is dropped."""
        self._spaces.clear()
        self._is_separated = True

    def close(self) -> None:
        """Write the white space at the end of the answer."""
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
            self._deltas.append(ToolCallArguments(self._num_calls - 1, text))
        elif self._open is ReasoningDelta:
            self._deltas.append(ReasoningDelta(text))
        else:
            self._deltas.append(ContentDelta(text))
