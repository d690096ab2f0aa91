"""What edits clear of a conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inference.api.messages.context_edits import cleared_by
from inference.api.messages.request import MessagesRequest
from tests.inference.api.messages.sending import assistant, result, use, user

if TYPE_CHECKING:
    from inference.api.messages.context_edits import Cleared

OF_USES = {
    "type": "clear_tool_uses_20250919",
    "trigger": {"type": "tool_uses", "value": 0},
    "keep": {"type": "tool_uses", "value": 1},
}


def cleared(*edits: dict[str, Any], uses: int = 3) -> Cleared:
    turns = [user("Weather?")]
    for number in range(uses):
        turns += [assistant([use(number=number)]), user([result("Sun " * 9, number)])]
    body = MessagesRequest.parse(
        {
            "model": "tiny",
            "max_tokens": 9,
            "messages": turns,
            "context_management": {"edits": list(edits)},
        }
    )
    return cleared_by(body.context_management, body.messages, lambda: 10**6)


def test_an_edit_that_clears_nothing_was_not_applied() -> None:
    edit = {**OF_USES, "clear_at_least": {"type": "input_tokens", "value": 0}}
    assert cleared(edit, uses=1).applied == []
    assert cleared({**edit, "exclude_tools": ["get_weather"]}).applied == []
    assert cleared(edit).applied[0]["cleared_tool_uses"] == 2


def test_what_is_cleared_twice_counts_once() -> None:
    once = cleared(OF_USES).applied
    assert cleared(OF_USES, OF_USES).applied == once
    more = cleared(OF_USES, {**OF_USES, "clear_tool_inputs": True})
    assert more.inputs == more.results == {"toolu_0", "toolu_1"}
    assert [each["cleared_tool_uses"] for each in more.applied] == [2, 2]
    tokens = [each["cleared_input_tokens"] for each in more.applied]
    assert tokens[1] < tokens[0]


def test_thoughts_that_are_cleared_twice_count_once() -> None:
    thought = {"type": "thinking", "thinking": "Hm " * 9, "signature": "s"}
    turns = [user("Hi"), assistant([thought]), user("And?"), assistant([thought])]
    edit = {"type": "clear_thinking_20251015"}
    body = MessagesRequest.parse(
        {
            "model": "tiny",
            "max_tokens": 9,
            "messages": [*turns, user("So?")],
            "context_management": {"edits": [edit, edit]},
        }
    )
    found = cleared_by(body.context_management, body.messages, lambda: 0)
    assert found.thinking == {1}
    assert len(found.applied) == 1
