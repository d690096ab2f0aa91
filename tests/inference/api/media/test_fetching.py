"""Images at addresses: only of permitted hosts, never of the network inside."""

from __future__ import annotations

import asyncio
from threading import Event
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from inference.api.media import fetching
from inference.api.media.fetching import NotFetched, fetch_image
from registry.hub.network import AsyncCheckedTransport, NetworkPolicy
from tests.configuration import unchecked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

PUBLIC, INSIDE = "93.184.216.34", "10.0.0.7"
NAMES = {
    "images.example.org": PUBLIC,
    "a.example.net": PUBLIC,
    "inside.example.net": INSIDE,
    "elsewhere.org": PUBLIC,
}
URL = "https://images.example.org/cat.png"


class Network(httpx2.AsyncBaseTransport):
    """The world outside: gives each answer in turn, and notes who was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: list[Any] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request.url.host)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            await answer()
        return answer  # type: ignore[no-any-return]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Network:
    made = Network()

    def client(policy: NetworkPolicy) -> httpx2.AsyncClient:
        transport = AsyncCheckedTransport(policy, lambda host, _port: [NAMES[host]])
        transport._inner = made
        return httpx2.AsyncClient(transport=transport, follow_redirects=True)

    monkeypatch.setattr(fetching, "_client", client)
    settings.CONFIG = unchecked(
        settings.CONFIG,
        media__hosts=("images.example.org", "*.example.net"),
        media__max_fetch_mb=1,
    )
    return made


def found(content: bytes) -> httpx2.Response:
    return httpx2.Response(200, content=pieces([content]))


async def pieces(content: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in content:
        yield piece


def redirect(to: str) -> httpx2.Response:
    return httpx2.Response(302, headers={"location": to})


async def test_an_image_of_a_permitted_host_is_fetched(network: Network) -> None:
    network.answers = [
        redirect("https://a.example.net/x"),
        found(b"png"),
    ]

    assert await fetch_image(URL, "a", bytes) == b"png"
    assert network.asked == [PUBLIC, PUBLIC]


@pytest.mark.parametrize(
    "url",
    [
        "https://elsewhere.org/cat.png",
        "https://inside.example.net/cat.png",
        "http://images.example.org/cat.png",
        "https://example.net/cat.png",
        "https://127.0.0.1/cat.png",
        "https://[::1]/cat.png",
        "https://user:secret@images.example.org/cat.png",
        "https://",
    ],
)
async def test_nobody_else_is_asked(network: Network, url: str) -> None:
    with pytest.raises(NotFetched) as caught:
        await fetch_image(url, "a", bytes)

    assert not network.asked
    assert INSIDE not in str(caught.value)


@pytest.mark.parametrize(
    "to",
    [
        "https://inside.example.net/secret",
        "https://elsewhere.org/x",
        "http://a.example.net/x",
        "file:///etc/passwd",
    ],
)
async def test_a_redirect_is_checked_as_an_address_is(
    network: Network, to: str
) -> None:
    network.answers = [redirect(to)]

    with pytest.raises(NotFetched) as caught:
        await fetch_image(URL, "a", bytes)

    assert network.asked == [PUBLIC]
    assert INSIDE not in str(caught.value)


async def chunks(sent: list[int]) -> AsyncIterator[bytes]:
    for _ in range(1000):
        sent.append(1)
        yield bytes(64 * 1024)


async def test_a_file_without_end_is_not_read_to_its_end(network: Network) -> None:
    sent: list[int] = []
    network.answers = [httpx2.Response(200, content=chunks(sent))]

    with pytest.raises(NotFetched, match="more than 1 MiB"):
        await fetch_image(URL, "a", bytes)
    assert len(sent) < 20


async def never_ending(waits: list[int]) -> AsyncIterator[bytes]:
    while True:
        waits.append(1)
        await asyncio.sleep(3600)
        yield b"x"


@pytest.mark.parametrize("is_redirect", [False, True])
async def test_the_whole_fetch_has_one_deadline(
    network: Network, configure: Callable[..., None], *, is_redirect: bool
) -> None:
    configure(media__hosts=("images.example.org",), media__fetch_timeout=1)
    waits: list[int] = []

    async def no_answer() -> None:
        waits.append(1)
        await asyncio.sleep(3600)

    network.answers = [
        *([redirect(URL)] if is_redirect else []),
        no_answer if is_redirect else httpx2.Response(200, content=never_ending(waits)),
    ]

    with pytest.raises(NotFetched, match="longer than 1 s"):
        await fetch_image(URL, "a", bytes)
    assert waits


async def test_the_body_of_a_redirect_is_not_read(network: Network) -> None:
    sent: list[int] = []
    away = httpx2.Response(302, headers={"location": URL}, content=chunks(sent))
    network.answers = [away, found(b"png")]

    assert await fetch_image(URL, "a", bytes) == b"png"
    assert not sent


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx2.Response(404), "the status 404"),
        (httpx2.ConnectTimeout("slow"), "gives no answer"),
    ],
)
async def test_what_does_not_come_is_said(
    network: Network, answer: Any, said: str
) -> None:
    network.answers = [answer]

    with pytest.raises(NotFetched, match=said):
        await fetch_image(URL, "a", bytes)


async def test_the_next_image_is_fetched_when_the_one_before_is_used(
    network: Network,
) -> None:
    network.answers = [found(b"one"), found(b"two")]
    is_fetched, may_end = asyncio.Event(), Event()
    loop = asyncio.get_running_loop()

    def use(data: bytes) -> tuple[bytes, int]:
        loop.call_soon_threadsafe(is_fetched.set)
        assert may_end.wait(60)
        return data, len(network.asked)

    first = asyncio.create_task(fetch_image(URL, "a", use))
    second = asyncio.create_task(fetch_image(URL, "a", bytes))
    async with asyncio.timeout(60):
        await is_fetched.wait()
        may_end.set()
        assert await first == (b"one", 1)
        assert await second == b"two"


async def test_a_chat_has_an_image_at_an_address(
    api: Any,
    engine: Any,
    seeing: Any,
    network: Network,
    configure: Callable[..., None],
) -> None:
    from tests.inference.api.media.images import image_file

    configure(media__hosts=("images.example.org",))
    part = {"type": "image_url", "image_url": {"url": URL}}
    turns = [{"role": "user", "content": [part]}]
    network.answers = [found(image_file())]
    response = await api.chat(messages=turns)
    assert response.status_code == 200, response.content
    assert engine.requests[0].media[0].width == 4

    network.answers = [httpx2.Response(500)]
    response = await api.chat(messages=turns)
    error = response.json()["error"]
    assert response.status_code == 400
    assert (error["code"], error["param"]) == (
        "image_not_fetched",
        "messages[0].content[0].image_url.url",
    )
