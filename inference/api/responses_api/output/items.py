"""The items of a response's output, and the events of their making.

Events lack their ``sequence_number``, which counts those of the whole stream.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from inference.api.streaming.text_inputs import TextInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from inference.api.responses_api.body.called_tools import CalledTool

Event = dict[str, Any]


class OutputItem(ABC):
    """One item that is being written; ``place`` is its number in the output."""

    prefix: ClassVar[str]

    def __init__(self, number: str, place: int) -> None:
        self.id = f"{self.prefix}_{number}{place:04x}"
        self.place = place
        self.status = "in_progress"

    @abstractmethod
    def item(self) -> dict[str, Any]:
        """Return the item as it is now."""

    def begin(self) -> Iterator[Event]:
        """Yield the events of its beginning."""
        yield self._of_output("added")

    @abstractmethod
    def add(self, text: str, logprobs: list[Any]) -> Iterator[Event]:
        """Add a piece; yield its events."""

    def end(self, status: str) -> Iterator[Event]:
        """Yield the events of its end."""
        yield from self._ending()
        self.status = status
        yield self._of_output("done")

    def _ending(self) -> Iterator[Event]:
        yield from ()

    def _of_output(self, what: str) -> Event:
        return {
            "type": f"response.output_item.{what}",
            "output_index": self.place,
            "item": self.item(),
        }

    def _event(self, kind: str, **members: Any) -> Event:
        return {
            "type": f"response.{kind}",
            "item_id": self.id,
            "output_index": self.place,
            **members,
        }


class MessageItem(OutputItem):
    """A message with one text."""

    prefix = "msg"

    def __init__(self, number: str, place: int) -> None:
        super().__init__(number, place)
        self.logprobs: list[Any] = []
        self._texts: list[str] = []

    def item(self) -> dict[str, Any]:
        is_new = self.status == "in_progress"
        return {
            "id": self.id,
            "type": "message",
            "status": self.status,
            "role": "assistant",
            "content": [] if is_new else [self._part()],
        }

    def begin(self) -> Iterator[Event]:
        yield from super().begin()
        part = self._part()
        yield self._event("content_part.added", content_index=0, part=part)

    def add(self, text: str, logprobs: list[Any]) -> Iterator[Event]:
        self._texts.append(text)
        self.logprobs += logprobs
        yield self._event(
            "output_text.delta", content_index=0, delta=text, logprobs=logprobs
        )

    def _ending(self) -> Iterator[Event]:
        part = self._part()
        yield self._event(
            "output_text.done",
            content_index=0,
            text=part["text"],
            logprobs=self.logprobs,
        )
        yield self._event("content_part.done", content_index=0, part=part)

    def _part(self) -> dict[str, Any]:
        return {
            "type": "output_text",
            "text": "".join(self._texts),
            "annotations": [],
            "logprobs": list(self.logprobs),
        }


class ReasoningItem(OutputItem):
    """Reasoning: as its own text, or as the summary that was asked for.

    ``seal`` encrypts it; None if the client does not keep it.
    """

    prefix = "rs"

    def __init__(
        self,
        number: str,
        place: int,
        *,
        as_summary: bool,
        seal: Callable[[str], str] | None,
    ) -> None:
        super().__init__(number, place)
        self._as_summary = as_summary
        self._seal = seal
        self._texts: list[str] = []

    def item(self) -> dict[str, Any]:
        text = "".join(self._texts)
        parts = [] if self.status == "in_progress" else [self._part(text)]
        item: dict[str, Any] = {
            "id": self.id,
            "type": "reasoning",
            "summary": parts if self._as_summary else [],
        }
        if not self._as_summary:
            item["content"] = parts
        if self._seal is not None:
            item["encrypted_content"] = self._seal(text) if parts else ""
        item["status"] = self.status
        return item

    def begin(self) -> Iterator[Event]:
        yield from super().begin()
        part = self._part("")
        if self._as_summary:
            yield self._event(
                "reasoning_summary_part.added", summary_index=0, part=part
            )
        else:
            yield self._event("content_part.added", content_index=0, part=part)

    def add(self, text: str, logprobs: list[Any]) -> Iterator[Event]:
        self._texts.append(text)
        if self._as_summary:
            yield self._event(
                "reasoning_summary_text.delta", summary_index=0, delta=text
            )
        else:
            yield self._event("reasoning_text.delta", content_index=0, delta=text)

    def _ending(self) -> Iterator[Event]:
        text = "".join(self._texts)
        part = self._part(text)
        if self._as_summary:
            yield self._event("reasoning_summary_text.done", summary_index=0, text=text)
            yield self._event("reasoning_summary_part.done", summary_index=0, part=part)
        else:
            yield self._event("reasoning_text.done", content_index=0, text=text)
            yield self._event("content_part.done", content_index=0, part=part)

    def _part(self, text: str) -> dict[str, Any]:
        kind = "summary_text" if self._as_summary else "reasoning_text"
        return {"type": kind, "text": text}


class FunctionCallItem(OutputItem):
    """A call of a function."""

    prefix = "fc"

    def __init__(self, number: str, place: int, call_id: str, tool: CalledTool) -> None:
        super().__init__(number, place)
        self._call_id = call_id
        self._tool = tool
        self._texts: list[str] = []

    def item(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": "function_call",
            "status": self.status,
            "arguments": "".join(self._texts),
            "call_id": self._call_id,
            **_named(self._tool),
        }

    def add(self, text: str, logprobs: list[Any]) -> Iterator[Event]:
        self._texts.append(text)
        yield self._event("function_call_arguments.delta", delta=text)

    def _ending(self) -> Iterator[Event]:
        yield self._event(
            "function_call_arguments.done",
            arguments="".join(self._texts),
            name=self._tool.name,
        )


class CustomCallItem(OutputItem):
    """A call of a custom tool: the model calls a function with one argument."""

    prefix = "ctc"

    def __init__(self, number: str, place: int, call_id: str, tool: CalledTool) -> None:
        super().__init__(number, place)
        self._call_id = call_id
        self._tool = tool
        self._text = TextInput()

    def item(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": "custom_tool_call",
            "status": self.status,
            "call_id": self._call_id,
            "input": self._text.value,
            **_named(self._tool),
        }

    def add(self, text: str, logprobs: list[Any]) -> Iterator[Event]:
        if piece := self._text.add(text):
            yield self._event("custom_tool_call_input.delta", delta=piece)

    def _ending(self) -> Iterator[Event]:
        if rest := self._text.end():
            yield self._event("custom_tool_call_input.delta", delta=rest)
        yield self._event("custom_tool_call_input.done", input=self._text.value)


def _named(tool: CalledTool) -> dict[str, str]:
    named = {"name": tool.name}
    return named if tool.namespace is None else {**named, "namespace": tool.namespace}
