"""The inputs of custom tools, which are functions whose only argument is a text."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from inference.output_parsers import ToolCallArguments, ToolCallBegin

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from inference.api.streaming.response_objects import (
        ChatChoice,
        CustomCall,
        MessageDelta,
    )
    from inference.output_parsers import Delta

#: The only argument of a custom tool, as a function.
INPUT = "input"
#: What stands before the input of a custom tool, as the only argument of a function.
_BEFORE_INPUT = re.compile(rf'\s*\{{\s*"{INPUT}"\s*:\s*"')
#: A piece of a JSON string in which no escape is cut off, nor a pair of them.
_WHOLE = re.compile(
    r'(?:[^"\\]|\\["\\/bfnrt]'
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|\\u(?![dD][89abAB])[0-9a-fA-F]{4})*"
)

#: The beginning of an escape, or of a pair of them.
_TORN = re.compile(
    r"\\(?:u[0-9a-fA-F]{0,3})?"
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u[0-9a-fA-F]{0,3})?)?"
)
_AFTER_INPUT = re.compile(r'"\s*\}\s*\Z')


class TextInput:
    """The text of one call, taken out of its arguments as they are written."""

    def __init__(self) -> None:
        self._arguments = ""
        self._read = 0
        #: The text so far.
        self.value = ""

    def add(self, fragment: str) -> str:
        """Take more of the arguments; return more of the text."""
        self._arguments += fragment
        if not self._read:
            before = _BEFORE_INPUT.match(self._arguments)
            if before is None:
                return ""
            self._read = before.end()
        whole = _WHOLE.match(self._arguments, self._read)
        if whole is None or whole.end() == self._read:
            return ""
        self._read = whole.end()
        return self._more(json.loads(f'"{whole[0]}"', strict=False))

    def end(self) -> str:
        """Return what is left when the call ends."""
        if not self._read:
            # It is no call of the function that the model was shown.
            return self._more(self._arguments)
        rest = _AFTER_INPUT.sub("", self._arguments[self._read :])
        if rest.startswith("\\") and not _TORN.fullmatch(rest):
            # It is no escape of JSON; who wrote it meant what stands there.
            return self._more(rest)
        return ""

    def _more(self, text: str) -> str:
        self.value += text
        return text


def rewrite_calls(choice: ChatChoice, custom: Collection[str]) -> None:
    """Give the calls of these tools in the shape of custom tools' calls."""
    calls = choice["message"].get("tool_calls", [])
    for number, call in enumerate(calls):
        if call["type"] == "function" and call["function"]["name"] in custom:
            text = TextInput()
            text.add(call["function"]["arguments"])
            text.end()
            called: CustomCall = {
                "id": call["id"],
                "type": "custom",
                "custom": {"name": call["function"]["name"], "input": text.value},
            }
            calls[number] = called


class InputDeltas:
    """Makes deltas of the calls of custom tools, in the stream of one answer."""

    def __init__(self, custom: Collection[str]) -> None:
        self._custom = custom
        self._open: tuple[int, TextInput] | None = None

    def deltas(
        self, parts: Sequence[Delta]
    ) -> Iterator[tuple[Delta | None, MessageDelta]]:
        """Yield each part that is none of theirs, or the delta of one that is."""
        for part in parts:
            match part:
                case ToolCallArguments(_, fragment) if self._open is not None:
                    index, text = self._open
                    if piece := text.add(fragment):
                        yield None, _input_delta(index, piece)
                case ToolCallBegin(index, id_, name) if name in self._custom:
                    yield from self.end()
                    self._open = index, TextInput()
                    begun: MessageDelta = {
                        "tool_calls": [
                            {
                                "index": index,
                                "id": id_,
                                "type": "custom",
                                "custom": {"name": name, "input": ""},
                            }
                        ]
                    }
                    yield None, begun
                case _:
                    yield from self.end()
                    yield part, {}

    def end(self) -> Iterator[tuple[Delta | None, MessageDelta]]:
        """Yield what is left of the call that is being written."""
        if self._open is not None:
            index, text = self._open
            self._open = None
            if rest := text.end():
                yield None, _input_delta(index, rest)


def _input_delta(index: int, text: str) -> MessageDelta:
    return {"tool_calls": [{"index": index, "custom": {"input": text}}]}
