"""Addresses that an upstream would fetch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from inference.api.forwarding.addresses import addresses_in
from tests.inference.api.forwarding.test_forwarding import chat

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.inference.api.conftest import Api
    from tests.inference.api.forwarding.conftest import Upstreams

ADDRESS = "http://169.254.169.254/latest"


def message(part: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [part]}]}


@pytest.mark.parametrize(
    "body",
    [
        message({"type": "image_url", "image_url": {"url": ADDRESS}}),
        message({"type": "input_image", "image_url": ADDRESS}),
        message({"type": "input_file", "file_url": ADDRESS}),
        message({"type": "image", "source": {"type": "url", "url": ADDRESS}}),
        message(
            {
                "type": "tool_result",
                "content": [{"type": "image", "source": {"url": ADDRESS}}],
            }
        ),
        {"mcp_servers": [{"type": "url", "url": ADDRESS, "name": "a"}]},
    ],
)
def test_what_a_part_names_is_found(body: dict[str, Any]) -> None:
    assert list(addresses_in(body)) == [ADDRESS]


@pytest.mark.parametrize(
    "body",
    [
        message({"type": "text", "text": ADDRESS}),
        message({"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}),
        message({"type": "tool_use", "id": "1", "input": {"source": ADDRESS}}),
        {"tools": [{"parameters": {"source": {"url": ADDRESS}}}]},
    ],
)
def test_what_nobody_fetches_is_not(body: dict[str, Any]) -> None:
    assert list(addresses_in(body)) == []


async def test_an_upstream_inside_fetches_nothing_from_there(
    api: Api, upstreams: Upstreams, configure: Callable[..., None]
) -> None:
    _, server = await upstreams.model(chat)
    part = {"type": "image_url", "image_url": {"url": ADDRESS}}
    answer = await api.chat(model="far", messages=message(part)["messages"])
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "address_not_allowed"
    assert not server.posts
    configure(
        upstreams__private_hosts=("127.0.0.1",), media__hosts=("169.254.169.254",)
    )
    answer = await api.chat(model="far", messages=message(part)["messages"])
    assert answer.status_code == 200
