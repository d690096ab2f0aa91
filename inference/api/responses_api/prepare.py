"""Makes the engine's requests of a request for a response."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from inference.api.body.unsupported import hints_left_out
from inference.api.chat.prepare import prepare_chat
from inference.api.errors import BadRequest
from inference.api.left_out import LeftOut
from inference.api.parameters.lora import served_name
from inference.api.responses_api.body.called_tools import tools_of
from inference.api.responses_api.body.request import (
    ENCRYPTED,
    ResponseRequest,
    nested_hints,
)
from inference.api.responses_api.body.sealing import seal
from inference.api.responses_api.body.translation import as_chat, input_items
from inference.api.responses_api.mcp.plan import McpPlan
from inference.api.responses_api.output.response_format import (
    ResponseFormat,
    ResponseSettings,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from inference.api.preparing.caller import Caller
    from inference.api.preparing.completion import PreparedCompletion
    from inference.api.responses_api.body.items import InputItem
    from inference.api.responses_api.body.request import ResponseTask
    from inference.api.responses_api.body.tools import ToolParam
    from inference.api.responses_api.body.translation import Translated
    from inference.api.streaming.answer_assembler import ParserSettings
    from inference.engine.sampling.params import SamplingParams
    from registry.model_facts import ModelFacts

_NO_SERVERS = McpPlan()


def prepare_response(
    body: ResponseTask,
    find_model: Callable[[str], ModelFacts],
    caller: Caller,
    left_out: LeftOut,
    *,
    response_id: str,
    created_at: int | None = None,
    is_stored: bool = False,
    before: Sequence[tuple[InputItem, str]] = (),
    plan: McpPlan = _NO_SERVERS,
) -> PreparedCompletion:
    """Return the generation requests of a response, and its format.

    ``find_model`` returns the model of a name, or raises. What the answer goes without
    is added to ``left_out``. ``before`` are the items of what it goes on from, ``plan``
    is what MCP servers it may call. Raises BadRequest and RequestRejected.
    """
    make = partial(
        _prepared,
        body,
        find_model,
        caller,
        left_out,
        response_id,
        before,
        plan,
        created_at=created_at,
        is_stored=is_stored,
    )
    try:
        return make(strict_by_default=True)
    except BadRequest:
        # OpenAI's rule: calls match their schema where it is one that can be enforced.
        items = [*before, *input_items(body)]
        own = _own_tools(tools_of(body.tools, items))
        if all(getattr(tool, "strict", True) is not None for tool in own):
            raise
        return make(strict_by_default=False)


def _own_tools(tools: Iterable[tuple[ToolParam, str]]) -> list[Any]:
    """Return the tools of a request, those of namespaces one by one."""
    return [each for tool, _ in tools for each in getattr(tool, "tools", [tool])]


def _prepared(
    body: ResponseTask,
    find_model: Callable[[str], ModelFacts],
    caller: Caller,
    left_out: LeftOut,
    response_id: str,
    before: Sequence[tuple[InputItem, str]],
    plan: McpPlan,
    *,
    created_at: int | None,
    is_stored: bool,
    strict_by_default: bool,
) -> PreparedCompletion:
    translated = as_chat(
        body, before, caller.owner, plan.tools, strict_by_default=strict_by_default
    )

    def make_format(
        model: ModelFacts, params: SamplingParams, parsing: ParserSettings | None
    ) -> ResponseFormat:
        settings = ResponseSettings(
            id=response_id,
            about={
                **_about(body, translated, model, params, is_stored=is_stored),
                **({} if created_at is None else {"created_at": created_at}),
            },
            tools=translated.functions.tools,
            as_summary=body.summary is not None,
            seal=_sealing(body, caller.owner),
            with_logprobs=translated.chat.logprobs,
            lists=plan.lists(),
        )
        return ResponseFormat(settings, parsing)

    of_chat = LeftOut()
    try:
        prepared = prepare_chat(
            translated.chat, find_model, caller, of_chat, make_format
        )
    except BadRequest as error:
        raise translated.paths.in_own_words(error) from None
    left_out.add(
        *hints_left_out(body),
        *nested_hints(body),
        *translated.left_out,
        *map(translated.paths.own, of_chat.paths),
    )
    return prepared.renamed(translated.paths.own)


def _sealing(body: ResponseTask, owner: str) -> Callable[[str], str] | None:
    if isinstance(body, ResponseRequest) and ENCRYPTED in body.include:
        return partial(seal, owner=owner)
    return None


def _about(
    body: ResponseTask,
    translated: Translated,
    model: ModelFacts,
    params: SamplingParams,
    *,
    is_stored: bool,
) -> dict[str, Any]:
    """Return the members of the response that are known before it begins."""
    about: dict[str, Any] = {
        "id": "",
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "model": served_name(model, body.model),
        "output": [],
        "parallel_tool_calls": body.parallel_tool_calls,
        "previous_response_id": body.previous_response_id,
        "reasoning": {
            "effort": body.reasoning and body.reasoning.effort,
            "summary": body.summary,
        },
        "service_tier": "default",
        "store": is_stored,
        "temperature": params.temperature,
        "text": {"format": _format(body)},
        "tool_choice": _choice(body),
        "tools": translated.functions.effective,
        "top_p": params.top_p,
        "truncation": "disabled",
    }
    if body.conversation_id is not None:
        about["conversation"] = {"id": body.conversation_id}
    if isinstance(body, ResponseRequest):
        about |= {
            "background": body.background,
            "max_output_tokens": body.max_output_tokens,
            "max_tool_calls": body.max_tool_calls,
            "metadata": body.metadata,
            "prompt_cache_key": body.prompt_cache_key,
            "safety_identifier": body.safety_identifier,
            "top_logprobs": body.top_logprobs or 0,
        }
        if body.user is not None:
            about["user"] = body.user
    return about


def _format(body: ResponseTask) -> dict[str, Any]:
    given = body.text and body.text.format
    if not given:
        return {"type": "text"}
    return given.model_dump(by_alias=True)


def _choice(body: ResponseTask) -> Any:
    choice = body.tool_choice
    if isinstance(choice, str):
        return choice
    return choice.model_dump(exclude_none=True)
