"""MCP servers in /v1/responses: a real one, and a model that plays a script."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from channels.layers import channel_layers

from accounts.models import StoredResponse
from inference.api.responses_api.background_view import (
    BackgroundView,
    background_writer,
)
from inference.api.responses_api.store import background
from inference.errors import EngineUnavailable
from tests.fakes import begun, finished, tokens
from tests.inference.api.conftest import read_stream
from tests.inference.api.responses_api.helpers import (
    WEATHER,
    create,
    events_of,
    refused,
    stream,
    types_of,
)
from tests.inference.api.tool_models import make_tool_model
from tests.mcp_server import RunningMcpServer, mcp_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.fakes import FakeEngineClient
    from tests.inference.api.conftest import Api


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMcpServer]:
    with mcp_server(tmp_path_factory.mktemp("mcp") / "log") as server:
        yield server


@pytest.fixture
def shop(running: RunningMcpServer, configure: Callable[..., None]) -> RunningMcpServer:
    """A server that may be called."""
    running.forget()
    configure(api__mcp_servers=(running.url,), api__store=True)
    return running


@pytest.fixture
async def hermes(api: Api) -> AsyncIterator[Api]:
    await make_tool_model("hermes")
    yield api
    await channel_layers["queue"].flush()


def call(name: str, **arguments: Any) -> str:
    value = {"name": f"shop__{name}", "arguments": arguments}
    return f"<tool_call>{json.dumps(value)}</tool_call>"


def script(engine: FakeEngineClient, *answers: str) -> None:
    """Let the engine answer so, round by round."""
    for text in answers:
        engine.enqueue(begun(), [tokens(text), finished(prompt=10, completion=3)])


async def test_a_tool_of_a_server_is_called_and_the_model_goes_on(
    hermes: Api, engine: FakeEngineClient, shop: RunningMcpServer
) -> None:
    script(engine, call("price", item="tea"), "Seven euros.")

    response = await create(hermes, model="hermes", tools=[shop.tool()])

    listed, made, said = response["output"]
    assert [tool["name"] for tool in listed["tools"]][:2] == ["price", "order"]
    assert (made["type"], made["status"]) == ("mcp_call", "completed")
    assert made["output"] == "tea costs 7 euros"
    assert said["content"][0]["text"] == "Seven euros."
    assert shop.calls() == ["price tea"]
    assert "tea costs 7 euros" in engine.requests[1].prompt
    # Each round is counted.
    assert response["usage"]["input_tokens"] == 20
    assert response["usage"]["output_tokens"] == 6


async def test_the_events_come_in_openais_order(
    hermes: Api, engine: FakeEngineClient, shop: RunningMcpServer
) -> None:
    script(engine, call("price", item="tea"), "Seven.")

    events = await stream(hermes, model="hermes", tools=[shop.tool()])

    assert types_of(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "mcp_list_tools.in_progress",
        "mcp_list_tools.completed",
        "output_item.done",
        "output_item.added",
        "mcp_call.in_progress",
        "mcp_call_arguments.delta",
        "mcp_call_arguments.done",
        "mcp_call.completed",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert events[-1]["response"]["usage"]["total_tokens"] == 26


async def test_a_call_waits_for_leave_and_is_made_with_it(
    hermes: Api, engine: FakeEngineClient, shop: RunningMcpServer
) -> None:
    tools = [shop.tool(require_approval={"never": {"read_only": True}})]
    script(engine, call("order", item="tea", count=2))
    first = await create(hermes, model="hermes", tools=tools)
    asked = first["output"][-1]
    assert (asked["type"], asked["name"]) == ("mcp_approval_request", "order")
    assert shop.calls() == []
    answer = {
        "type": "mcp_approval_response",
        "approval_request_id": asked["id"],
        "approve": True,
    }

    script(engine, "Done.")
    more = {"previous_response_id": first["id"], "input": [answer], "tools": tools}
    events = await stream(hermes, model="hermes", **more)

    assert types_of(events)[2:7] == [
        "output_item.added",
        "mcp_call.in_progress",
        "mcp_call_arguments.delta",
        "mcp_call_arguments.done",
        "mcp_call.completed",
    ]
    made, said = events[-1]["response"]["output"]
    assert made["approval_request_id"] == asked["id"]
    assert made["output"] == "2 tea ordered"
    assert said["content"][0]["text"] == "Done."
    assert shop.calls() == ["order tea 2"]
    # The next turn makes it no second time.
    script(engine, "Yes.")
    third = events[-1]["response"]["id"]
    await create(
        hermes, model="hermes", previous_response_id=third, input="Sure?", tools=tools
    )
    assert shop.calls() == ["order tea 2"]


async def test_a_call_that_is_refused_is_not_made_and_the_model_is_shown_why(
    hermes: Api, engine: FakeEngineClient, shop: RunningMcpServer
) -> None:
    tools = [shop.tool(require_approval="always")]
    script(engine, call("order", item="tea"), "As you like.")
    first = await create(hermes, model="hermes", tools=tools, store=False)
    answer = {
        "type": "mcp_approval_response",
        "approval_request_id": first["output"][-1]["id"],
        "approve": False,
        "reason": "Too dear.",
    }
    # As a client without a store sends it.
    conversation = [{"role": "user", "content": "Hi"}, *first["output"], answer]

    await create(hermes, model="hermes", tools=tools, input=conversation)

    assert shop.calls() == []
    assert "has not approved this call. Too dear." in engine.requests[1].prompt


async def test_calls_of_the_client_end_the_rounds(
    hermes: Api, engine: FakeEngineClient, shop: RunningMcpServer
) -> None:
    own = '<tool_call>{"name": "get_weather", "arguments": {"city": "x"}}</tool_call>'
    script(engine, call("price", item="tea") + "\n" + own)

    response = await create(hermes, model="hermes", tools=[shop.tool(), WEATHER])

    kinds = [item["type"] for item in response["output"]]
    assert kinds == ["mcp_list_tools", "mcp_call", "function_call"]
    assert response["output"][1]["status"] == "completed"
    assert len(engine.requests) == 1


async def test_no_more_calls_are_made_than_allowed(
    hermes: Api, engine: FakeEngineClient, shop: RunningMcpServer
) -> None:
    script(engine, call("price", item="a") + "\n" + call("price", item="b"), "Enough.")

    response = await create(
        hermes, model="hermes", tools=[shop.tool()], max_tool_calls=1
    )

    assert shop.calls() == ["price a"]
    refused_call = response["output"][2]
    assert refused_call["status"] == "failed"
    assert "max_tool_calls" in refused_call["error"]["message"]
    # The last round is shown no tools of the server.
    assert "[tool" in engine.requests[0].prompt
    assert "[tool {" not in engine.requests[1].prompt


async def test_what_a_server_returns_is_bounded_and_its_errors_are_shown(
    hermes: Api,
    engine: FakeEngineClient,
    shop: RunningMcpServer,
    configure: Callable[..., None],
) -> None:
    configure(api__mcp_max_result_kb=1)
    script(engine, call("flood", size=5000), call("fail", item="tea"), "Oh.")

    response = await create(hermes, model="hermes", tools=[shop.tool()])

    _, flooded, failed, _ = response["output"]
    assert (flooded["status"], flooded["output"]) == ("failed", None)
    assert "more than 1 KiB" in flooded["error"]["message"]
    assert failed["error"]["type"] == "mcp_tool_execution_error"
    assert "no tea left" in failed["error"]["content"][0]["text"]
    assert "no tea left" in engine.requests[2].prompt


async def test_secrets_go_to_the_server_and_nowhere_else(
    hermes: Api,
    engine: FakeEngineClient,
    shop: RunningMcpServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    script(engine, call("price", item="tea"), "Seven.")

    response = await create(
        hermes,
        model="hermes",
        background=True,
        tools=[shop.tool(authorization="s3cret-token", headers={"X-More": "s3cret-2"})],
    )
    done = await polled(hermes, response["id"])

    assert done["status"] == "completed"
    assert shop.tokens() == {"Bearer s3cret-token"}
    row = await StoredResponse.objects.aget(pk=response["id"])
    assert "s3cret" not in json.dumps([row.response, row.body, row.mcp, done])
    assert "s3cret" not in caplog.text


async def test_a_call_of_a_client_that_leaves_is_given_up(
    hermes: Api, engine: FakeEngineClient, shop: RunningMcpServer
) -> None:
    script(engine, call("wait", item="tea"))
    queued = await create(hermes, model="hermes", background=True, tools=[shop.tool()])
    await logged(shop, "wait tea")

    await hermes.post(f"/v1/responses/{queued['id']}/cancel")

    await logged(shop, "given up tea")


async def test_an_answer_that_fails_after_calls_names_them(
    hermes: Api, engine: FakeEngineClient, shop: RunningMcpServer
) -> None:
    script(engine, call("order", item="tea"))
    engine.enqueue(begun(), EngineUnavailable("The worker is gone."))

    answer = await hermes.post(
        "/v1/responses", {"model": "hermes", "input": "Hi", "tools": [shop.tool()]}
    )

    assert answer.status_code == 503
    assert "called before" in answer.json()["error"]["message"]
    assert "shop.order" in answer.json()["error"]["message"]
    # OpenAI's packages send a request again after such a status by themselves.
    assert answer["x-should-retry"] == "false"


async def test_two_tools_of_one_name_are_refused(
    hermes: Api, shop: RunningMcpServer
) -> None:
    listed = {
        "type": "mcp_list_tools",
        "id": "mcpl_1",
        "server_label": "shop",
        "tools": [{"name": name, "input_schema": {}} for name in ("a.b", "a_b")],
    }
    said = {"role": "user", "content": "Hi"}

    error = await refused(
        hermes, model="hermes", tools=[shop.tool()], input=[listed, said]
    )

    assert error["param"] == "tools[0]"
    assert "'a_b'" in error["message"]
    assert "'a.b'" in error["message"]
    one = shop.tool(allowed_tools=["a.b"])
    await create(hermes, model="hermes", tools=[one], input=[listed, said])


async def test_a_tool_of_a_server_and_a_function_of_one_name_are_refused(
    hermes: Api, shop: RunningMcpServer
) -> None:
    own = {**WEATHER, "name": "shop__price"}

    error = await refused(hermes, model="hermes", tools=[own, shop.tool()])
    assert error["param"] == "tools[1]"
    assert "shop__price" in error["message"]
    error = await refused(hermes, model="hermes", tools=[shop.tool(), own])
    assert error["param"] == "tools[1].name"


async def test_a_server_that_is_not_listed_is_not_asked(
    hermes: Api, shop: RunningMcpServer, configure: Callable[..., None]
) -> None:
    configure(api__mcp_servers=("127.0.0.1", "*.example.org"))
    error = await refused(hermes, model="hermes", tools=[shop.tool()])
    assert error["code"] == "mcp_server_not_permitted"

    configure(api__mcp_servers=())
    error = await refused(hermes, model="hermes", tools=[shop.tool()])
    assert error["param"] == "tools[0].type"
    assert shop.calls() == []


async def test_a_listed_host_at_a_private_address_is_not_asked(
    hermes: Api, shop: RunningMcpServer, configure: Callable[..., None]
) -> None:
    configure(api__mcp_servers=("localhost",))
    tool = shop.tool(server_url=f"https://localhost:{shop.port}/mcp")

    answer = await hermes.post(
        "/v1/responses", {"model": "hermes", "input": "Hi", "tools": [tool]}
    )

    assert answer.status_code == 424
    assert answer.json()["error"]["code"] == "mcp_server_failed"
    assert "is not permitted" in answer.json()["error"]["message"]


async def test_a_server_that_is_away_is_said(
    hermes: Api, shop: RunningMcpServer, configure: Callable[..., None]
) -> None:
    url = "http://127.0.0.1:9/mcp"
    configure(api__mcp_servers=(url,))

    answer = await hermes.post(
        "/v1/responses",
        {"model": "hermes", "input": "Hi", "tools": [shop.tool(server_url=url)]},
    )

    assert answer.status_code == 424
    assert (
        "'shop' has failed: it cannot be reached" in answer.json()["error"]["message"]
    )


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"headers": {"Host": "x"}}, "tools[0].headers"),
        ({"headers": {"X-A": "a\r\nX-B: b"}}, "tools[0].headers"),
        ({"authorization": "a\nb"}, "tools[0].authorization"),
        ({"server_url": "http://u:p@127.0.0.1/"}, "tools[0].server_url"),
        ({"connector_id": "connector_gmail"}, "tools[0].connector_id"),
    ],
)
async def test_what_cannot_be_sent_to_a_server_is_refused_by_name(
    hermes: Api, shop: RunningMcpServer, members: dict[str, Any], param: str
) -> None:
    error = await refused(hermes, model="hermes", tools=[shop.tool(**members)])

    assert error["param"] == param
    assert not any(str(value) in error["message"] for value in members.values())


async def test_a_request_that_may_be_repeated_calls_nothing(
    hermes: Api, shop: RunningMcpServer
) -> None:
    body = {"model": "hermes", "input": "Hi", "tools": [shop.tool()]}

    answer = await hermes.post("/v1/responses", body, **{"Idempotency-Key": "a"})

    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.json()["error"]["message"]


async def logged(shop: RunningMcpServer, line: str) -> None:
    """Wait for a line of the server's log."""
    async with asyncio.timeout(60):
        while line not in shop.calls():
            await asyncio.sleep(0.02)


async def polled(api: Api, id_: str) -> Any:
    """Return a response when it has ended."""
    async with asyncio.timeout(60):
        while True:
            response = (await api.get(f"/v1/responses/{id_}")).json()
            if response["status"] not in ("queued", "in_progress"):
                return response
            await asyncio.sleep(0.05)


async def followed(api: Api, id_: str) -> list[Any]:
    """Return the events of a response."""
    answer = await api.get(f"/v1/responses/{id_}?stream=true")
    return events_of(b"".join(await read_stream(answer)).decode())


async def killed() -> None:
    """Let the process die that writes in the background: its tasks end."""
    for task in list(background_writer._tasks.values()):
        task.cancel()
    async with asyncio.timeout(60):
        while background_writer._tasks:
            await asyncio.sleep(0.02)


async def rescued(api: Api, id_: str) -> Any:
    """Return a response that another process has ended."""
    rescuing = asyncio.create_task(
        background.BackgroundWriter(BackgroundView).rescue_forever()
    )
    try:
        return await polled(api, id_)
    finally:
        rescuing.cancel()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_RESCUE_EVERY_S", 0.1)
    monkeypatch.setattr(background, "_FLUSH_EVERY_S", 0.0)


@pytest.mark.usefixtures("quick")
async def test_a_call_that_was_made_is_not_made_again_after_a_restart(
    hermes: Api, engine: FakeEngineClient, shop: RunningMcpServer
) -> None:
    ordering = [*begun(), tokens(call("order", item="tea")), finished()]
    engine.enqueue(ordering)
    engine.enqueue([*begun(), tokens("Or")])
    queued = await create(hermes, model="hermes", background=True, tools=[shop.tool()])
    answer = await hermes.get(f"/v1/responses/{queued['id']}?stream=true")
    seen = b""
    async with asyncio.timeout(60):
        async for piece in aiter(answer):
            seen += piece
            if b'"Or"' in seen:
                break
    await killed()

    # A stream begins with what is known of its answer.
    engine.enqueue(ordering)
    engine.enqueue([*begun(), tokens("Or"), tokens("dered."), finished()])
    done = await rescued(hermes, queued["id"])

    assert shop.calls() == ["order tea 1"]
    _, made, said = done["output"]
    assert made["output"] == "1 tea ordered"
    assert said["content"][0]["text"] == "Ordered."
    whole = await followed(hermes, queued["id"])
    first = events_of(seen.decode())
    assert whole[: len(first)] == first
    row = await StoredResponse.objects.aget(pk=queued["id"])
    assert row.mcp == {}


@pytest.mark.usefixtures("quick")
async def test_a_call_whose_result_a_restart_has_lost_is_said_and_not_repeated(
    hermes: Api, engine: FakeEngineClient, shop: RunningMcpServer
) -> None:
    waiting = [*begun(), tokens(call("wait", item="tea")), finished()]
    engine.enqueue(waiting)
    queued = await create(hermes, model="hermes", background=True, tools=[shop.tool()])
    await logged(shop, "wait tea")
    await killed()
    await logged(shop, "given up tea")

    engine.enqueue(waiting)
    script(engine, "I do not know.")
    done = await rescued(hermes, queued["id"])

    assert shop.calls().count("wait tea") == 1
    _, lost, said = done["output"]
    assert lost["status"] == "failed"
    assert "it was not made again" in lost["error"]["message"]
    assert "it was not made again" in engine.requests[-1].prompt
    assert said["content"][0]["text"] == "I do not know."


@pytest.mark.usefixtures("quick")
async def test_an_answer_that_begins_again_and_calls_otherwise_fails_and_says_why(
    hermes: Api, engine: FakeEngineClient, shop: RunningMcpServer
) -> None:
    engine.enqueue([*begun(), tokens(call("order", item="tea")), finished()])
    engine.enqueue([*begun(), tokens("Or")])
    queued = await create(hermes, model="hermes", background=True, tools=[shop.tool()])
    await engine.has_streams(2)
    await killed()
    await channel_layers["queue"].flush()

    script(engine, "Hello.")
    done = await rescued(hermes, queued["id"])

    assert done["status"] == "failed"
    assert "had called shop.order" in done["error"]["message"]
    assert shop.calls() == ["order tea 1"]


@pytest.mark.usefixtures("quick")
async def test_secrets_that_a_restart_has_lost_are_said(
    hermes: Api, engine: FakeEngineClient, shop: RunningMcpServer
) -> None:
    engine.enqueue([*begun(), tokens("<tool_")])
    tool = shop.tool(authorization="s3cret-token")
    queued = await create(hermes, model="hermes", background=True, tools=[tool])
    await engine.has_streams()
    await killed()

    script(engine, call("price", item="tea"), "Oh.")
    done = await rescued(hermes, queued["id"])

    assert done["status"] == "completed", done
    assert "keeps no authorization" in done["output"][1]["error"]["message"]
    assert shop.calls() == []
