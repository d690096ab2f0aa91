"""What MCP servers have to do with a conversation, as items of ``input``."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from inference.api.body.request_body import Body
from inference.api.errors import BadRequest
from inference.api.parameters.json_object import AnyJson
from inference.api.parameters.structured_output import SchemaName
from inference.api.parameters.value_types import Text
from inference.api.responses_api.body.mcp_tool import MAX_TOOLS
from llm_manager.lib.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

_Id = Annotated[str, Field(min_length=1, max_length=256)]
_Json = Annotated[dict[str, Any], AnyJson()]
_NOT_A_NAME = re.compile(r"[^A-Za-z0-9_-]")


class McpList(Body):
    """The tools of a server, as an earlier answer has them."""

    type: Literal["mcp_list_tools"]
    id: _Id | None = None
    server_label: Text
    tools: Annotated[list[_Json], Field(max_length=MAX_TOOLS)] = []
    error: Any = None
    status: Any = None


class McpCall(Body):
    """A call that an earlier answer has made, and what came of it."""

    type: Literal["mcp_call"]
    id: _Id | None = None
    server_label: SchemaName
    name: _Id
    arguments: Text
    output: Text | None = None
    error: Any = None
    approval_request_id: _Id | None = None
    status: (
        Literal["in_progress", "completed", "incomplete", "calling", "failed"] | None
    ) = None

    @property
    def result(self) -> str:
        """What the model is shown of it."""
        if self.error is not None:
            return text_of_error(self.error)
        return self.output or ""


class McpApprovalRequest(Body):
    """A call that waits for the client's leave."""

    type: Literal["mcp_approval_request"]
    id: _Id
    server_label: SchemaName
    name: _Id
    arguments: Text
    status: Any = None


class McpApprovalResponse(Body):
    """The client's leave for a call, or its refusal."""

    type: Literal["mcp_approval_response"]
    id: _Id | None = None
    approval_request_id: _Id
    approve: bool
    reason: Text | None = None
    request_id: Any = None
    status: Any = None


McpItem = McpList | McpCall | McpApprovalRequest | McpApprovalResponse


def function_name(label: str, name: str) -> str:
    """Return the name by which a model calls a tool of a server."""
    return f"{label}__{_NOT_A_NAME.sub('_', name)}"


def text_of_error(error: Any) -> str:
    """Return what is said of a call that has failed."""
    if isinstance(error, str):
        return error
    if isinstance(error, dict):
        if isinstance(error.get("message"), str):
            return str(error["message"])
        parts = error.get("content")
        if isinstance(parts, list):
            texts = [each.get("text") for each in parts if isinstance(each, dict)]
            return "\n".join(each for each in texts if isinstance(each, str))
    return json.dumps(error, ensure_ascii=False)


@dataclass(slots=True)
class Approvals:
    """The calls of a conversation that need leave, and what the client says to them."""

    requests: dict[str, McpApprovalRequest] = field(default_factory=dict)
    answers: dict[str, McpApprovalResponse] = field(default_factory=dict)
    _made: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, items: Iterable[tuple[Any, str]]) -> Approvals:
        """Return those of items with their paths. Raises BadRequest."""
        found = cls()
        for item, path in items:
            if isinstance(item, McpApprovalRequest):
                found.requests[item.id] = item
            elif isinstance(item, McpCall) and item.approval_request_id is not None:
                found._made.add(item.approval_request_id)
            elif isinstance(item, McpApprovalResponse):
                found._answer(item, path)
        return found

    def to_make(self) -> list[McpApprovalRequest]:
        """Return the calls that have the client's leave, and were not made yet."""
        return [
            request
            for id_, request in self.requests.items()
            if id_ in self.answers
            and self.answers[id_].approve
            and id_ not in self._made
        ]

    def is_made(self, request: McpApprovalRequest) -> bool:
        """Whether a call was made: it is an item of its own then."""
        return request.id in self._made

    def refusal(self, request: McpApprovalRequest) -> str:
        """Return what the model is shown of a call that was not made."""
        answer = self.answers.get(request.id)
        if answer is not None and answer.approve:
            return ""
        reason = answer.reason if answer is not None else None
        return "The user has not approved this call." + (f" {reason}" if reason else "")

    def _answer(self, item: McpApprovalResponse, path: str) -> None:
        id_ = item.approval_request_id
        if id_ not in self.requests:
            raise BadRequest(
                f"'{path}.approval_request_id' is '{quote(id_)}', and no "
                "mcp_approval_request before it has this id.",
                param=f"{path}.approval_request_id",
            )
        if id_ in self.answers:
            raise BadRequest(
                f"'{path}' answers the request '{quote(id_)}', which has an answer.",
                param=path,
            )
        self.answers[id_] = item
