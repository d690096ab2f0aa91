"""MCP servers in /v1/responses: OpenAI's package, the whole server, a real MCP server.

The model says what the test has written for it, so that the protocol is tested.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from openai import OpenAI

from tests.checkout import ROOT
from tests.mcp_server import mcp_server
from tests.scripted.names import MODEL
from tests.whole_server import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.mcp_server import RunningMcpServer
    from tests.whole_server import Server

pytestmark = [pytest.mark.e2e, pytest.mark.long]

SECRET = "s3cret-token"


def call(name: str, **arguments: Any) -> str:
    value = {"name": f"shop__{name}", "arguments": arguments}
    return f"<tool_call>\n{json.dumps(value)}\n</tool_call>"


SCRIPT = {
    "What does tea cost?": [call("price", item="tea"), "Seven euros."],
    "Order tea.": [call("order", item="tea", count=2), "It is ordered."],
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMcpServer]:
    with mcp_server(tmp_path_factory.mktemp("mcp") / "log") as server:
        yield server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def server(folder: Path, shop: RunningMcpServer) -> Iterator[Server]:
    script = folder / "script.json"
    script.write_text(json.dumps(SCRIPT))
    with running(
        folder,
        launcher=[sys.executable, "-m", "tests.scripted.server"],
        LLM_MANAGER_API_STORE="true",
        LLM_MANAGER_API_MCP_SERVERS=shop.url,
        LLM_MANAGER_LOGGING_LEVEL="debug",
        PYTHONPATH=f"{ROOT / 'platform'}:{ROOT}",
        SCRIPT=str(script),
    ) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[OpenAI]:
    url = f"http://{server.host}:{server.port}/v1"
    with OpenAI(base_url=url, api_key=server.key) as client:
        yield client


def test_a_stream_has_what_the_server_said(
    client: OpenAI, shop: RunningMcpServer
) -> None:
    shop.forget()
    tool: Any = shop.tool(authorization=SECRET)
    with client.responses.stream(
        model=MODEL, input="What does tea cost?", tools=[tool]
    ) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()

    assert "response.mcp_call.completed" in kinds
    assert [item.type for item in final.output] == [
        "mcp_list_tools",
        "mcp_call",
        "message",
    ]
    assert final.output_text == "Seven euros."
    assert shop.calls() == ["price tea"]
    assert shop.tokens() == {f"Bearer {SECRET}"}


def test_a_call_is_made_in_the_background_once_it_is_approved(
    client: OpenAI, shop: RunningMcpServer
) -> None:
    shop.forget()
    tool: Any = shop.tool(require_approval="always")
    first = client.responses.create(model=MODEL, input="Order tea.", tools=[tool])
    asked = first.output[-1]
    assert asked.type == "mcp_approval_request"
    assert shop.calls() == []
    answer: Any = {
        "type": "mcp_approval_response",
        "approval_request_id": asked.id,
        "approve": True,
    }

    queued = client.responses.create(
        model=MODEL,
        previous_response_id=first.id,
        input=[answer],
        tools=[tool],
        background=True,
    )
    with client.responses.stream(response_id=queued.id) as stream:
        done = stream.get_final_response()

    assert done.output_text == "It is ordered."
    assert shop.calls() == ["order tea 2"]


def test_no_secret_is_in_the_log_or_on_the_disk(client: OpenAI, folder: Path) -> None:
    assert client.models.list().data
    for path in folder.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path
