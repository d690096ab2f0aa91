"""The first requests of today's agents, as they were recorded, are answered."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.inference.api.conftest import read_stream
from tests.inference.api.responses_api.helpers import events_of
from tests.inference.api.tool_models import make_tool_model, script
from tests.openai_schema import check

if TYPE_CHECKING:
    from tests.fakes import FakeEngineClient
    from tests.inference.api.conftest import Api

#: Texts were replaced by their lengths.
RECORDED = json.loads(Path(__file__).with_name("agent_requests.json").read_text())
_LENGTH = re.compile(r"<(\d+) characters>")


def filled(value: Any) -> Any:
    """Return a recorded body with texts of the lengths that it had."""
    if isinstance(value, list):
        return [filled(each) for each in value]
    if isinstance(value, dict):
        return {name: filled(each) for name, each in value.items()}
    if isinstance(value, str) and (length := _LENGTH.fullmatch(value)):
        return ("word " * int(length[1]))[: int(length[1])]
    return value


@pytest.mark.parametrize(
    "recorded", RECORDED, ids=lambda recorded: str(recorded["client"])
)
async def test_a_recorded_request_is_answered_unchanged(
    recorded: Any, api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("hermes")
    body = filled(recorded["body"])
    name = "multi_agent_v1__close_agent"
    call = json.dumps({"name": name, "arguments": {"target": "a"}})
    has_agents = "multi_agent_v1" in json.dumps(body)
    text = f"<tool_call>{call}</tool_call>" if has_agents else "Hello."
    script(engine, text)

    answer = await api.post("/v1/responses", {**body, "model": "hermes"})

    assert answer.status_code == 200, answer.content
    if not body.get("stream"):
        check("Response", answer.json())
        return
    events = events_of(b"".join(await read_stream(answer)).decode())
    (item,) = events[-1]["response"]["output"]
    assert (item["namespace"], item["name"]) == ("multi_agent_v1", "close_agent")
    assert answer["x-llm-manager-left-out"].split(", ") == [
        *("client_metadata", "prompt_cache_key", "tools[8]"),
    ]
