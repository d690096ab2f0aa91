"""While no worker takes requests, no API key fills the queue for the others."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import AsyncMock

import pytest
from channels.layers import channel_layers

from inference.engine.media.inputs import ImageInput
from inference.engine.request import GenerationRequest
from inference.engine.sampling.params import SamplingParams
from inference.errors import QueueFull
from inference.transport import queue_shares
from inference.transport.queue import ModelQueue
from inference.transport.queue_shares import QueueShares
from inference.transport.stream import Stream
from inference.transport.streams import Streams
from tests.inference.engine.fakes import FakeBackend
from tests.inference.world import collect, text_of

if TYPE_CHECKING:
    from tests.inference.world import World

#: Only so that the client may query; the results are scripted.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _eight_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_layers["queue"], "capacity", 8)
    monkeypatch.setattr(channel_layers["queue"], "channel_capacity", [])


async def fill(world: World, key: str) -> list[Stream]:
    """Queue requests of a key until one is refused; return the others."""
    streams: list[Stream] = []

    async def submit_all() -> None:
        for _ in range(20):
            streams.append(await world.submit("go", key))

    with pytest.raises(QueueFull, match="are this API key's") as refusal:
        await submit_all()
    assert refusal.value.retry_after
    return streams


async def test_one_key_fills_half_of_the_queue_and_others_find_a_place(
    world: World,
) -> None:
    greedy = await fill(world, "greedy")
    second = await fill(world, "second")
    newcomer = await world.submit("go", "newcomer")

    assert (len(greedy), len(second)) == (4, 2)
    backend = FakeBackend()
    backend.script("go", "abc")
    world.start_worker(backend)
    for stream in [*greedy, *second, newcomer]:
        assert text_of(await collect(stream)) == "abc"


async def test_requests_that_were_given_up_in_the_queue_count_until_they_are_taken(
    world: World,
) -> None:
    for stream in await fill(world, "greedy"):
        await stream.aclose()
    with pytest.raises(QueueFull, match=r"^4 of the requests"):
        await world.submit("go", "greedy")

    backend = FakeBackend()
    backend.script("go", "abc")
    world.start_worker(backend)
    await collect(await world.submit("go", "other"))

    assert text_of(await collect(await world.submit("go", "greedy"))) == "abc"


_QUEUE = ModelQueue(1, "tiny", timeout_s=9)


def with_image(key: str, size: int) -> GenerationRequest:
    image = ImageInput(1, 1, bytes(size), "digest")
    params = SamplingParams()
    return GenerationRequest(f"{key}{size}", [], params, key=key, media=(image,))


def waiting(request: GenerationRequest) -> Stream:
    return Stream(request, _QUEUE, 0, 0, 0, close=AsyncMock())


async def test_the_images_of_a_keys_waiting_requests_have_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queue_shares, "MAX_MEDIA_BYTES", 1000)
    streams = Streams()
    shares = QueueShares(channel_layers["queue"], streams)
    first = waiting(with_image("greedy", 700))
    streams.add(first)

    with pytest.raises(QueueFull, match="images and sounds of this API key's"):
        await shares.check(with_image("greedy", 400), _QUEUE)
    await shares.check(with_image("greedy", 300), _QUEUE)
    # However large, the only one that a key has.
    await shares.check(with_image("other", 2000), _QUEUE)
    first.is_started = True
    await shares.check(with_image("greedy", 400), _QUEUE)
