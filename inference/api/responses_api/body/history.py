"""The items of ``input`` as the messages of a chat."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inference.api.errors import BadRequest
from inference.api.responses_api.body.called_tools import flat_name
from inference.api.responses_api.body.items import (
    AdditionalTools,
    CallResult,
    CustomCallResult,
    EarlierCall,
    EarlierCustomCall,
    EarlierReasoning,
    HostedItem,
    InputImage,
    InputMessage,
    InputText,
    ItemReference,
    Refusal,
)
from inference.api.responses_api.body.mcp_items import (
    Approvals,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpList,
    function_name,
)
from inference.api.responses_api.body.sealing import Unreadable, unseal
from inference.api.streaming.text_inputs import INPUT
from inference.prompts.messages import joined
from llm_manager.lib.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from inference.api.preparing.paths import Paths
    from inference.api.responses_api.body.items import InputItem, OutputText

    Part = InputText | InputImage | OutputText | Refusal


@dataclass(slots=True)
class ChatHistory:
    """The messages of a chat, as they are put together from items.

    Reasoning, a text and calls that follow one another are one message of the
    assistant's, as the model wrote them.
    """

    paths: Paths
    owner: str
    messages: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    #: Calls of MCP servers that need the client's leave.
    approvals: Approvals = field(default_factory=Approvals)
    #: The labels of the MCP servers that this request has.
    servers: Collection[str] = ()
    _answer: dict[str, Any] | None = None
    #: Calls that nothing has answered yet, with their paths.
    _open: dict[str, str] = field(default_factory=dict)

    def instruct(self, text: str) -> None:
        """Begin with a system message."""
        self._add({"role": "system", "content": text}, "instructions")

    def ask(self, text: str) -> None:
        """Add a text of the user's, which is all of the input."""
        self._check_answered()
        self._add({"role": "user", "content": text}, "input")

    def add(self, items: Iterable[tuple[InputItem, str]]) -> None:
        """Add items, each with its path. Raises BadRequest."""
        for item, path in items:
            match item:
                case InputMessage(role="assistant"):
                    self._say(item, path)
                case InputMessage():
                    self._check_answered()
                    content = _content(item.content)
                    self._add({"role": item.role, "content": content}, path)
                case EarlierReasoning():
                    self._reason(item, path)
                case EarlierCall():
                    name = flat_name(item.name, item.namespace)
                    self._call(item.call_id, name, item.arguments, path)
                case EarlierCustomCall():
                    name = flat_name(item.name, item.namespace)
                    arguments = json.dumps({INPUT: item.input}, ensure_ascii=False)
                    self._call(item.call_id, name, arguments, path)
                case McpCall():
                    self._server_call(item, item.result, path)
                case McpApprovalRequest():
                    if not self.approvals.is_made(item):
                        self._server_call(item, self.approvals.refusal(item), path)
                case McpApprovalResponse():
                    # It is shown with the call that it is about.
                    continue
                case McpList():
                    if item.server_label not in self.servers:
                        self.left_out.append(path)
                case CallResult() | CustomCallResult():
                    self._answer_call(item, path)
                case AdditionalTools():
                    # ``tools_of`` finds them: a model is shown all tools at once.
                    continue
                case HostedItem():
                    self.left_out.append(path)
                case ItemReference():
                    raise BadRequest(
                        f"'{path}' refers to the item '{quote(item.id)}', and no "
                        "stored response that this key may read has it.",
                        param=path,
                        code="item_not_found",
                    )

    def finish(self) -> None:
        """Check that every call has been answered. Raises BadRequest."""
        self._check_answered()

    def _add(self, message: dict[str, Any], path: str) -> None:
        self._answer = None
        self._put(message, path)

    def _put(self, message: dict[str, Any], path: str) -> None:
        self.paths.add(f"messages[{len(self.messages)}]", path)
        self.messages.append(message)

    def _assistant(self, path: str) -> dict[str, Any]:
        """Return the assistant's message that is being put together."""
        if self._answer is None:
            self._answer = {"role": "assistant", "content": None}
            self._put(self._answer, path)
        return self._answer

    def _say(self, item: InputMessage, path: str) -> None:
        answer = self._answer
        if answer is not None and answer["content"] is not None:
            if "tool_calls" in answer:
                said = _said(item, path)
                answer["content"] = joined(_text_of(answer["content"]), said)
                return
            self._answer = None
        self._assistant(path)["content"] = _said(item, path)

    def _reason(self, item: EarlierReasoning, path: str) -> None:
        if self._open:
            # Reasoning between a call and its result is about the next answer.
            return
        text = self._reasoning_of(item, path)
        if not text:
            return
        answer = self._answer
        if answer is not None and (
            answer["content"] is not None or "tool_calls" in answer
        ):
            self._answer = None
        answer = self._assistant(path)
        answer["reasoning_content"] = joined(answer.get("reasoning_content"), text)

    def _reasoning_of(self, item: EarlierReasoning, path: str) -> str:
        if item.content:
            return "".join(part.text for part in item.content)
        if item.encrypted_content is not None:
            try:
                return unseal(item.encrypted_content, self.owner)
            except Unreadable:
                raise BadRequest(
                    f"'{path}.encrypted_content' was not encrypted by this server for "
                    "the owner of this key. Leave the item out.",
                    param=f"{path}.encrypted_content",
                    code="invalid_encrypted_content",
                ) from None
        return joined(*(part.text for part in item.summary))

    def _server_call(
        self, item: McpCall | McpApprovalRequest, result: str, path: str
    ) -> None:
        """Add a call of an MCP server with what came of it."""
        call_id = item.id or f"mcp_{len(self.messages)}"
        name = function_name(item.server_label, item.name)
        self._call(call_id, name, item.arguments or "{}", path)
        del self._open[call_id]
        message = {"role": "tool", "tool_call_id": call_id, "content": result}
        self._add(message, path)

    def _call(self, call_id: str, name: str, arguments: str, path: str) -> None:
        if call_id in self._open:
            raise BadRequest(
                f"'{path}.call_id' is '{quote(call_id)}', as that of another call "
                "that is not answered yet.",
                param=f"{path}.call_id",
            )
        if self._answer is None:
            # The calls of one answer may come with their results between them.
            self._check_answered()
        answer = self._assistant(path)
        calls = answer.setdefault("tool_calls", [])
        at = f"messages[{len(self.messages) - 1}].tool_calls[{len(calls)}]"
        self.paths.add(at, path)
        self.paths.add(f"{at}.function", path)
        calls.append(
            {
                "id": call_id,
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
        )
        self._open[call_id] = path

    def _answer_call(self, item: CallResult | CustomCallResult, path: str) -> None:
        if self._open.pop(item.call_id, None) is None:
            raise BadRequest(
                f"No tool call found for '{path}.call_id', which is "
                f"'{quote(item.call_id)}', or it has been answered.",
                param=f"{path}.call_id",
            )
        content = _content(item.output)
        message = {"role": "tool", "tool_call_id": item.call_id, "content": content}
        self._add(message, path)

    def _check_answered(self) -> None:
        for call_id, path in self._open.items():
            raise BadRequest(
                f"No tool output found for the call '{quote(call_id)}' of '{path}': it "
                "must come before any other message.",
                param="input",
            )


def _content(given: str | Sequence[Part]) -> str | list[dict[str, Any]]:
    """Return the content of a chat's message."""
    if isinstance(given, str):
        return given
    return [_seen(part) for part in given] or ""


def _seen(part: Part) -> dict[str, Any]:
    if isinstance(part, InputImage):
        image = {"url": part.image_url, "detail": part.detail or "auto"}
        return {"type": "image_url", "image_url": image}
    return {"type": "text", "text": _part(part)}


def _said(item: InputMessage, path: str) -> str:
    """Return the text of an earlier answer. Raises BadRequest for an image in it."""
    if isinstance(item.content, str):
        return item.content
    texts = []
    for number, part in enumerate(item.content):
        if isinstance(part, InputImage):
            at = f"{path}.content[{number}]"
            raise BadRequest(
                f"Unsupported value: '{at}' is an image; an assistant's message has "
                "text.",
                param=at,
                code="unsupported_parameter",
            )
        texts.append(_part(part))
    return "".join(texts)


def _text_of(content: str | list[dict[str, str]]) -> str:
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content)


def _part(part: InputText | OutputText | Refusal) -> str:
    return part.refusal if isinstance(part, Refusal) else part.text
