"""Makes the messages of a chat of Anthropic's turns and their blocks."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inference.api.body.unsupported import hints_left_out
from inference.api.chat.messages import (
    AssistantMessage,
    CalledFunction,
    SystemMessage,
    TextPart,
    ToolCallParam,
    ToolMessage,
    UserMessage,
)
from inference.api.errors import BadRequest
from inference.api.media.parts import ImagePart, image_part
from inference.api.messages.blocks import (
    Base64Document,
    Base64Image,
    DocumentBlock,
    DocumentParts,
    FileDocument,
    ImageBlock,
    PlainText,
    RedactedThinkingBlock,
    SearchResultBlock,
    SystemBlock,
    TextBlock,
    ThinkingBlock,
    ToolAdditionBlock,
    ToolReferenceBlock,
    ToolRemovalBlock,
    ToolResultBlock,
    ToolUseBlock,
    UrlDocument,
    UrlImage,
    has_longer_ttl,
)
from inference.api.messages.context_edits import CLEARED
from inference.api.messages.signature import ForeignSignature, WrongSignature
from llm_manager.lib.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from inference.api.chat.messages import ChatMessage
    from inference.api.messages.blocks import (
        AssistantTurn,
        ContentBlock,
        SystemTurn,
        UserTurn,
    )
    from inference.api.messages.context_edits import Cleared
    from inference.api.messages.request import MessagesInput
    from inference.api.messages.signature import ThinkingSigner

#: What older versions of Claude Code put before their instructions: a line for
#: Anthropic's billing, with a hash that changes with each request. In a prompt it would
#: spoil every cached prefix.
_BILLING_LINE = re.compile(r"\Ax-anthropic-billing-header:[^\n]*\n*")
_PDF = "only its text can be sent: a source of type 'text' or 'content'"


@dataclass(slots=True)
class ChatTurns:
    """A chat's messages, and where they come from.

    ``places`` has the place in the request of each message. ``tools_changed`` are the
    tools that were added (True) or removed in the conversation. ``left_out`` are paths
    of what the model does not see.
    """

    messages: list[ChatMessage] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    tools_changed: dict[str, bool] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    @property
    def is_begun(self) -> bool:
        """Whether the conversation ends with the beginning of the answer."""
        return len(self.messages) > 1 and self.messages[-1].role == "assistant"


def chat_conversation(
    body: MessagesInput, cleared: Cleared, signer: ThinkingSigner
) -> ChatTurns:
    """Return the conversation of a request without what is cleared.

    Raises BadRequest for blocks that cannot be shown to a model, for thoughts that were
    changed, and unless each call is answered in the next turn.
    """
    reader = _Reader(cleared, signer)
    reader.take_system(body.system)
    users = [index for index, turn in enumerate(body.messages) if turn.role == "user"]
    last_user = users[-1] if users else -1
    for index, turn in enumerate(body.messages):
        reader.take(turn, index, is_past=index < last_user)
    reader.check_answered()
    return reader.found


class _Reader:
    """Reads a conversation turn by turn."""

    def __init__(self, cleared: Cleared, signer: ThinkingSigner) -> None:
        self.found = ChatTurns()
        self._cleared = cleared
        self._signer = signer
        #: The ids of calls without a result so far, with their paths.
        self._open: dict[str, str] = {}

    def take_system(self, system: str | Sequence[TextBlock] | None) -> None:
        """Take the instructions before the conversation."""
        if not system:
            return
        is_text = isinstance(system, str)
        blocks = [_block_of(system)] if isinstance(system, str) else list(system)
        texts = list(self._texts(blocks, "system"))
        first = _BILLING_LINE.sub("", blocks[0].text)
        if first != blocks[0].text:
            self.found.left_out.append("system" if is_text else "system[0]")
            texts[0] = first
        self._add_system([text for text in texts if text], "system")

    def take(
        self,
        turn: UserTurn | AssistantTurn | SystemTurn,
        index: int,
        *,
        is_past: bool = False,
    ) -> None:
        """Take a turn; ``is_past``: the user has said something after it."""
        place = f"messages[{index}]"
        content = turn.content
        blocks: list[ContentBlock | ThinkingBlock | RedactedThinkingBlock]
        blocks = [_block_of(content)] if isinstance(content, str) else [*content]
        path = f"{place}.content"
        if turn.role == "assistant":
            self._take_answer(blocks, place, index)
        elif turn.role == "system":
            is_seen = not (is_past and turn.clear_at == "next_user_message")
            self._take_instructions(blocks, path, place, is_seen=is_seen)
            if hints_left_out(turn):
                self.found.left_out.append(f"{place}.output_config")
        else:
            self._take_user(blocks, path, place)

    def check_answered(self) -> None:
        """Refuse calls without a result. Raises BadRequest."""
        if not self._open:
            return
        ids = ", ".join(map(quote, self._open))
        path = next(iter(self._open.values()))
        raise BadRequest(
            f"'{path}': tool_use ids were found without tool_result blocks immediately "
            f"after: {ids}. Each tool_use block must have a tool_result block in the "
            "next message.",
            param=path,
        )

    # One kind of turn each ------------------------------------------------------

    def _take_user(self, blocks: Sequence[object], path: str, place: str) -> None:
        texts: list[str | ImagePart] = []
        later: list[tuple[int, object]] = []
        for number, block in enumerate(blocks):
            if isinstance(block, ToolResultBlock):
                self._add_result(block, f"{path}[{number}]", place)
            else:
                later.append((number, block))
        for number, block in later:
            at = f"{path}[{number}]"
            if isinstance(block, SystemBlock | ToolAdditionBlock | ToolRemovalBlock):
                self._add_user(texts, place)
                texts = []
                self._take_instructions([block], at, place, is_one=True)
            else:
                texts.append(self._seen(block, at))
        if texts or not blocks:
            self._add_user(texts or [""], place)

    def _take_instructions(
        self,
        blocks: Sequence[object],
        path: str,
        place: str,
        *,
        is_one: bool = False,
        is_seen: bool = True,
    ) -> None:
        texts = []
        for number, block in enumerate(blocks):
            at = path if is_one else f"{path}[{number}]"
            if isinstance(block, ToolAdditionBlock | ToolRemovalBlock):
                is_added = isinstance(block, ToolAdditionBlock)
                self.found.tools_changed[block.tool.name] = is_added
                self._note_hints(block, at)
            elif isinstance(block, SystemBlock):
                self._note_hints(block, at)
                self._take_instructions(block.content, f"{at}.content", place)
            else:
                texts.append(self._text(block, at))
        if is_seen:
            self._add_system(texts, place)

    def _take_answer(self, blocks: Sequence[object], place: str, index: int) -> None:
        if self._last_answer() is None:
            # The user has answered some of the last calls only.
            self.check_answered()
        texts, thoughts = [], []
        calls: list[ToolCallParam] = []
        for number, block in enumerate(blocks):
            at = f"{place}.content[{number}]"
            if isinstance(block, ThinkingBlock):
                if index not in self._cleared.thinking:
                    thoughts += self._thinking(block, at)
            elif isinstance(block, RedactedThinkingBlock):
                self.found.left_out.append(at)
            elif isinstance(block, ToolUseBlock):
                calls.append(self._call(block, at))
            else:
                texts.append(self._text(block, at))
        before = self._last_answer()
        if before is not None:
            # Anthropic takes turns of one role as one.
            made = [c for c in before.tool_calls if isinstance(c, ToolCallParam)]
            calls = [*made, *calls]
            texts = [*_given(before.content), *texts]
            thoughts = [*_given(before.reasoning_content), *thoughts]
            self.found.messages.pop()
            self.found.places.pop()
        content = "\n".join(text for text in texts if text)
        self._add(
            AssistantMessage.model_construct(
                role="assistant",
                content=content or (None if calls else ""),
                tool_calls=calls,
                reasoning_content="\n".join(thoughts) or None,
            ),
            place,
        )

    def _last_answer(self) -> AssistantMessage | None:
        last = self.found.messages[-1] if self.found.messages else None
        return last if isinstance(last, AssistantMessage) else None

    # One kind of block each -----------------------------------------------------

    def _thinking(self, block: ThinkingBlock, path: str) -> list[str]:
        try:
            return [self._signer.thinking(block.thinking, block.signature)]
        except ForeignSignature:
            self.found.left_out.append(path)
            return []
        except WrongSignature:
            raise BadRequest(
                f"Invalid 'signature' in '{path}': the thinking block is not as this "
                "server sent it. Send thinking blocks back unchanged, or leave them "
                "out.",
                param=f"{path}.signature",
            ) from None

    def _call(self, block: ToolUseBlock, path: str) -> ToolCallParam:
        self._note_hints(block, path)
        if block.id in self._open:
            raise BadRequest(
                f"Two calls have the id '{quote(block.id)}'.", param=f"{path}.id"
            )
        self._open[block.id] = path
        is_cleared = block.id in self._cleared.inputs
        function = CalledFunction.model_construct(
            name=block.name, arguments={} if is_cleared else block.input
        )
        return ToolCallParam.model_construct(
            id=block.id, type="function", function=function
        )

    def _add_result(self, block: ToolResultBlock, path: str, place: str) -> None:
        self._note_hints(block, path)
        if self._open.pop(block.tool_use_id, None) is None:
            raise BadRequest(
                f"'{path}' has the tool_use_id '{quote(block.tool_use_id)}', and the "
                "message before has no tool_use block of this id that is not answered "
                "yet.",
                param=f"{path}.tool_use_id",
            )
        seen: list[str | ImagePart]
        if block.tool_use_id in self._cleared.results:
            seen = [CLEARED]
        elif isinstance(block.content, str):
            seen = [block.content]
        else:
            seen = [
                self._seen(part, f"{path}.content[{number}]")
                for number, part in enumerate(block.content)
            ]
        if block.is_error and seen != [CLEARED]:
            is_text = bool(seen) and isinstance(seen[0], str)
            seen = [f"Error: {seen[0]}", *seen[1:]] if is_text else ["Error: ", *seen]
        message = ToolMessage.model_construct(
            role="tool", content=_content(seen), tool_call_id=block.tool_use_id
        )
        self.found.messages.append(message)
        self.found.places.append(place)

    def _seen(self, block: object, path: str) -> str | ImagePart:
        """Return what a model sees of a block, text or image. Raises BadRequest."""
        if not isinstance(block, ImageBlock):
            return self._text(block, path)
        self._note_hints(block, path)
        match block.source:
            case Base64Image(media_type=media_type, data=data):
                return image_part(f"data:{media_type};base64,{data}")
            case UrlImage(url=url):
                return image_part(url)
        raise _refusal(f"{path}.source", "send the image itself, in base64.")

    def _text(self, block: object, path: str) -> str:
        """Return what a model reads of a block. Raises BadRequest."""
        match block:
            case TextBlock(text=text):
                if block.citations:
                    self.found.left_out.append(f"{path}.citations")
                self._note_hints(block, path)
                return text
            case DocumentBlock():
                self._note_hints(block, path)
                text = self._document(block, path)
                return "\n".join(filter(None, (block.title, block.context, text)))
            case SearchResultBlock():
                self._note_hints(block, path)
                parts = [part.text for part in block.content]
                return "\n".join((block.title, block.source, *parts))
            case ToolReferenceBlock(tool_name=name):
                self._note_hints(block, path)
                self.found.tools_changed[name] = True
                return f"The tool {name} can be called now."
        # An image within a document, or in instructions.
        raise _refusal(path, "images are in messages and in results of tools.")

    def _document(self, block: DocumentBlock, path: str) -> str:
        match block.source:
            case PlainText(data=text):
                return text
            case DocumentParts(content=str(text)):
                return text
            case DocumentParts(content=parts):
                at = f"{path}.source.content"
                texts = [self._text(p, f"{at}[{i}]") for i, p in enumerate(parts)]
                return "\n".join(texts)
            case Base64Document() | UrlDocument() | FileDocument():
                pass
        raise _refusal(path, f"{_PDF}.")

    def _texts(self, blocks: Sequence[TextBlock], path: str) -> Iterator[str]:
        for number, block in enumerate(blocks):
            yield self._text(block, f"{path}[{number}]")

    def _note_hints(self, block: ContentBlock, path: str) -> None:
        """Note that a prefix is kept no longer than others."""
        if has_longer_ttl(block.cache_control):
            self.found.left_out.append(f"{path}.cache_control.ttl")

    # What it makes --------------------------------------------------------------

    def _add_user(self, seen: Sequence[str | ImagePart], place: str) -> None:
        if seen:
            content = _content(seen)
            self._add(UserMessage.model_construct(role="user", content=content), place)

    def _add_system(self, texts: Sequence[str], place: str) -> None:
        if texts:
            content = "\n".join(texts)
            message = SystemMessage.model_construct(role="system", content=content)
            self._add(message, place)

    def _add(self, message: ChatMessage, place: str) -> None:
        if message.role != "assistant":
            self.check_answered()
        self.found.messages.append(message)
        self.found.places.append(place)


def _content(seen: Sequence[str | ImagePart]) -> str | list[TextPart | ImagePart]:
    """Return the content of a chat's message: one text, unless it has images."""
    texts = [each for each in seen if isinstance(each, str)]
    if len(texts) == len(seen):
        return "\n".join(texts)
    return [
        TextPart.model_construct(type="text", text=each)
        if isinstance(each, str)
        else each
        for each in seen
    ]


def _block_of(text: str) -> TextBlock:
    return TextBlock.model_construct(type="text", text=text)


def _given(text: object) -> list[str]:
    return [text] if isinstance(text, str) and text else []


def _refusal(path: str, rule: str) -> BadRequest:
    return BadRequest(
        f"Unsupported value: '{path}' is not served here; {rule}",
        param=path,
        code="unsupported_parameter",
    )
