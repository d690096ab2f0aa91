"""``context_management``: which parts of a long conversation the model goes without."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Discriminator, Field, PlainValidator, Tag

from inference.api.body.request_body import Body
from inference.api.body.validation_errors import missing
from inference.api.messages.blocks import ThinkingBlock, ToolResultBlock, ToolUseBlock
from inference.api.parameters.value_types import MAX_TOKENS, Between, by_json_type
from inference.prompts.token_estimate import estimate_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inference.api.messages.blocks import Turn

_MAX_EDITS = 16
_Count = Annotated[int, Between(0, MAX_TOKENS)]
#: What the model sees in the place of a result.
CLEARED = "[The result of this call was cleared to save context.]"


class EveryTurn(Body):
    """All turns."""

    type: Literal["all"]


class ThinkingTurns(Body):
    """The newest turns."""

    type: Literal["thinking_turns"]
    value: Annotated[int, Between(1, MAX_TOKENS)]


class ClearThinking(Body):
    """Leave out the thoughts of older answers."""

    type: Literal["clear_thinking_20251015"]
    keep: Annotated[
        Annotated[Literal["all"], Tag("string")]
        | Annotated[
            Annotated[ThinkingTurns | EveryTurn, Field(discriminator="type")],
            Tag("object"),
        ],
        by_json_type("a string or an object"),
    ] = ThinkingTurns.model_construct(type="thinking_turns", value=1)


class TokenAmount(Body):
    """A number of tokens of the prompt."""

    type: Literal["input_tokens"]
    value: _Count


class ToolUseAmount(Body):
    """A number of calls."""

    type: Literal["tool_uses"]
    value: _Count


class ClearToolUses(Body):
    """Leave out the results of older calls once there is too much."""

    type: Literal["clear_tool_uses_20250919"]
    trigger: Annotated[TokenAmount | ToolUseAmount, Field(discriminator="type")] = (
        # Anthropic's defaults.
        TokenAmount.model_construct(type="input_tokens", value=100_000)
    )
    keep: ToolUseAmount = ToolUseAmount.model_construct(type="tool_uses", value=3)
    clear_at_least: TokenAmount | None = None
    exclude_tools: Annotated[list[str], Field(max_length=1024)] = []
    clear_tool_inputs: Annotated[
        Annotated[bool, Tag("boolean")] | Annotated[list[str], Tag("array")],
        by_json_type("a boolean or an array of strings"),
    ] = False


def _other(value: Any) -> Any:
    if not isinstance(value.get("type"), str):
        raise missing("context_management.edits[].type")
    return value


def _kind_of(value: Any) -> str | None:
    if not isinstance(value, dict | Body):
        return None
    kind = (
        value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    )
    if kind == "clear_thinking_20251015":
        return "thinking"
    return "tools" if kind == "clear_tool_uses_20250919" else "other"


#: An edit that this server does not make, such as a summary; it is left out.
_OtherEdit = Annotated[
    dict[str, Any], PlainValidator(_other, json_schema_input_type=dict[str, Any])
]


class ContextManagement(Body):
    """The edits, in their order."""

    edits: Annotated[
        list[
            Annotated[
                Annotated[ClearThinking, Tag("thinking")]
                | Annotated[ClearToolUses, Tag("tools")]
                | Annotated[_OtherEdit, Tag("other")],
                Discriminator(
                    _kind_of,
                    custom_error_type="wrong_type",
                    custom_error_message="an object",
                ),
            ]
        ],
        Field(max_length=_MAX_EDITS),
    ] = []


@dataclass(slots=True)
class Cleared:
    """What edits clear of a conversation.

    ``thinking`` are the places of turns without their thoughts, ``results`` and
    ``inputs`` the ids of calls whose result or input the model does not see.
    ``applied`` are Anthropic's objects of the edits that cleared something, and
    ``left_out`` the places of those that are not made here.
    """

    thinking: set[int] = field(default_factory=set)
    results: set[str] = field(default_factory=set)
    inputs: set[str] = field(default_factory=set)
    applied: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[int] = field(default_factory=list)


def cleared_by(
    management: ContextManagement | None,
    turns: Sequence[Turn],
    prompt_tokens: Callable[[], int],
) -> Cleared:
    """Return what the edits clear.

    ``prompt_tokens`` estimates the whole prompt without edits; the tokens of what is
    cleared are estimated, too.
    """
    cleared = Cleared()
    for index, edit in enumerate(management.edits if management else ()):
        if isinstance(edit, ClearThinking):
            _clear_thinking(edit, turns, cleared)
        elif isinstance(edit, ClearToolUses):
            _clear_tool_uses(edit, turns, prompt_tokens, cleared)
        else:
            cleared.left_out.append(index)
    return cleared


def _clear_thinking(
    edit: ClearThinking, turns: Sequence[Turn], cleared: Cleared
) -> None:
    if not isinstance(edit.keep, ThinkingTurns):
        return
    thoughts: dict[int, int] = {}
    for index, turn in enumerate(turns):
        if turn.role != "assistant" or isinstance(turn.content, str):
            continue
        texts = [
            block.thinking or block.signature
            for block in turn.content
            if isinstance(block, ThinkingBlock)
        ]
        if texts:
            thoughts[index] = sum(map(estimate_tokens, texts))
    old = [i for i in list(thoughts)[: -edit.keep.value] if i not in cleared.thinking]
    if old:
        cleared.thinking.update(old)
        cleared.applied.append(
            {
                "type": edit.type,
                "cleared_thinking_turns": len(old),
                "cleared_input_tokens": sum(thoughts[index] for index in old),
            }
        )


def _clear_tool_uses(
    edit: ClearToolUses,
    turns: Sequence[Turn],
    prompt_tokens: Callable[[], int],
    cleared: Cleared,
) -> None:
    blocks = [
        block
        for turn in turns
        if not isinstance(turn.content, str)
        for block in turn.content
    ]
    results = {b.tool_use_id: b for b in blocks if isinstance(b, ToolResultBlock)}
    uses = [b for b in blocks if isinstance(b, ToolUseBlock) and b.id in results]
    is_of_uses = edit.trigger.type == "tool_uses"
    count = len(uses) if is_of_uses else prompt_tokens()
    if count <= edit.trigger.value:
        return
    old = uses[: max(len(uses) - edit.keep.value, 0)]
    old = [use for use in old if use.name not in edit.exclude_tools]
    # What an edit before this one has cleared is not cleared again.
    inputs = {
        use.id: use.input
        for use in old
        if _clears_input(edit, use) and use.id not in cleared.inputs
    }
    old = [use for use in old if use.id not in cleared.results or use.id in inputs]
    texts = [
        *(results[use.id].content for use in old if use.id not in cleared.results),
        *inputs.values(),
    ]
    tokens = sum(estimate_tokens(str(text)) for text in texts)
    least = edit.clear_at_least.value if edit.clear_at_least else 1
    if tokens < max(least, 1):
        return
    cleared.results.update(use.id for use in old)
    cleared.inputs.update(inputs)
    cleared.applied.append(
        {
            "type": edit.type,
            "cleared_tool_uses": len(old),
            "cleared_input_tokens": tokens,
        }
    )


def _clears_input(edit: ClearToolUses, use: ToolUseBlock) -> bool:
    if isinstance(edit.clear_tool_inputs, bool):
        return edit.clear_tool_inputs
    return use.name in edit.clear_tool_inputs
