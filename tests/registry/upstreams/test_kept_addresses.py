"""Addresses that were checked hold for a while, for requests to one upstream."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace

import httpx2
import pytest

from registry.hub import network
from registry.hub.errors import AddressRefused, BrokenConnection
from registry.hub.network import AsyncCheckedTransport
from registry.upstreams.addresses import upstream_policy

PUBLIC = "93.184.216.34"


class Sent(httpx2.AsyncBaseTransport):
    """The network: notes where requests go."""

    def __init__(self) -> None:
        self.hosts: list[str] = []
        self.is_away = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.hosts.append(request.url.host)
        if self.is_away:
            raise httpx2.ConnectError("refused")
        return httpx2.Response(200)


class Names:
    """A name server, which answers when it may."""

    def __init__(self, *answers: list[str] | OSError) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.may_answer = threading.Event()
        self.may_answer.set()

    def resolve(self, host: str, port: int) -> list[str]:
        self.asked += 1
        assert self.may_answer.wait(60)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer


def _world(names: Names) -> tuple[httpx2.AsyncClient, Sent]:
    transport = AsyncCheckedTransport(
        upstream_policy(()), names.resolve, keeps_connections=True
    )
    transport._inner = sent = Sent()
    return httpx2.AsyncClient(transport=transport, trust_env=False), sent


async def test_requests_that_come_together_wait_for_one_look_at_the_names() -> None:
    names = Names([PUBLIC])
    client, sent = _world(names)
    names.may_answer.clear()
    asking = [asyncio.create_task(client.get("https://api.test/v1")) for _ in range(50)]
    while not names.asked:
        await asyncio.sleep(0)
    # One that leaves takes it from none of the others.
    asking.pop().cancel()
    names.may_answer.set()
    await asyncio.wait_for(asyncio.gather(*asking), 60)
    assert names.asked == 1
    assert sent.hosts == [PUBLIC] * 49


async def test_what_was_checked_is_connected_to_until_names_are_looked_up_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(network, "time", SimpleNamespace(monotonic=lambda: now[0]))
    names = Names([PUBLIC], ["127.0.0.1"])
    client, sent = _world(names)
    for _ in range(2):
        await client.get("https://api.test/v1")
    assert sent.hosts == [PUBLIC, PUBLIC]
    now[0] += 31
    with pytest.raises(AddressRefused):
        await client.get("https://api.test/v1")
    assert sent.hosts == [PUBLIC, PUBLIC]


async def test_addresses_that_lead_nowhere_are_looked_up_again() -> None:
    names = Names([PUBLIC], ["8.8.8.8"])
    client, sent = _world(names)
    sent.is_away = True
    with pytest.raises(httpx2.ConnectError):
        await client.get("https://api.test/v1")
    sent.is_away = False
    await client.get("https://api.test/v1")
    assert sent.hosts == [PUBLIC, "8.8.8.8"]


async def test_a_name_that_was_not_found_is_looked_up_again() -> None:
    names = Names(OSError("no such name"), [PUBLIC])
    client, sent = _world(names)
    with pytest.raises(BrokenConnection):
        await client.get("https://api.test/v1")
    await client.get("https://api.test/v1")
    assert sent.hosts == [PUBLIC]
