"""Vectors, scores and tokens from a worker, over a real Redis."""

from __future__ import annotations

import asyncio
import math
import struct
from typing import TYPE_CHECKING, Any

import pytest

from inference.engine.output import PoolingOutput
from inference.engine.request import (
    DetokenizationRequest,
    PoolingRequest,
    TokenizationRequest,
)
from inference.errors import EngineUnavailable, RequestRejected
from inference.transport.messages.events import Accepted, Detokenized, Tokenized
from inference.transport.stream import new_request_id
from tests.inference.engine.fake_embedder import BAD, FakeEmbedder
from tests.inference.engine.fakes import FakeBackend
from tests.inference.world import WAIT_S, Gate, collect, until

if TYPE_CHECKING:
    from inference.engine.request import ModelRequest
    from inference.transport.messages.events import Event
    from inference.transport.stream import Stream
    from tests.inference.world import World

#: Only so that the client may query; the results are scripted.
pytestmark = pytest.mark.django_db(transaction=True)


def embed(*texts: str | list[int], **fields: Any) -> PoolingRequest:
    values: dict[str, Any] = {
        "inputs": texts,
        "paths": tuple(f"input[{number}]" for number in range(len(texts))),
        "key": "k",
        **fields,
    }
    return PoolingRequest(new_request_id(), (), **values)


async def submit(world: World, request: ModelRequest) -> Stream:
    return await world.client.submit(request, world.queue())


async def run(world: World, request: ModelRequest) -> list[Event]:
    return await collect(await submit(world, request))


def numbers(events: list[Event]) -> list[tuple[float, ...]]:
    last = events[-1]
    assert isinstance(last, PoolingOutput)
    return [struct.unpack(f"<{len(vector) // 4}f", vector) for vector in last.vectors]


def gated(gate: Gate, *, n_batch: int = 16, n_seq_max: int = 4) -> FakeEmbedder:
    """Return a model that computes a batch when the gate lets it."""
    backend = FakeEmbedder(n_batch=n_batch, n_seq_max=n_seq_max)
    backend.on_batch = gate.wait
    return backend


async def test_texts_and_tokens_become_vectors(world: World) -> None:
    world.start_worker(FakeEmbedder(), task="embed")
    events = await run(world, embed("xyz", [112, 113], "r"))
    accepted, start, end = events
    length = math.hypot(120, 122, 3)
    assert numbers(events)[0] == pytest.approx((120 / length, 122 / length, 3 / length))
    assert len(numbers(events)) == 3
    assert isinstance(accepted, Accepted)
    assert isinstance(start, PoolingOutput)
    assert isinstance(end, PoolingOutput)
    assert start.is_start
    assert accepted.prompt_tokens == end.num_prompt == 6


async def test_documents_get_scores(world: World) -> None:
    world.start_worker(FakeEmbedder(is_ranking=True), task="rank")
    events = await run(world, embed("act", "dog", query="cat"))
    assert numbers(events) == [(3.0,), (0.0,)]


async def test_an_input_that_is_too_long_is_refused_by_its_path(world: World) -> None:
    world.start_worker(FakeEmbedder(n_ctx=8), task="embed")
    request = embed("short", "much too long", paths=("input[32]", "input[33]"))
    with pytest.raises(RequestRejected, match=r"8 tokens.* has 13") as caught:
        await run(world, request)
    assert caught.value.code == "context_length_exceeded"
    assert caught.value.param == "input[33]"


async def test_a_document_that_is_too_long_counts_with_the_query(world: World) -> None:
    world.start_worker(FakeEmbedder(n_ctx=8, is_ranking=True), task="rank")
    with pytest.raises(RequestRejected, match="has 9 tokens with the query"):
        await run(world, embed("12345", query="cat"))


async def test_a_request_that_cannot_be_computed_fails_alone(world: World) -> None:
    world.start_worker(FakeEmbedder(), task="embed")
    good = await submit(world, embed("p", "q"))
    bad = await submit(world, embed("r", BAD))
    with pytest.raises(EngineUnavailable, match="llama_decode returned -3"):
        await collect(bad)
    assert len(numbers(await collect(good))) == 2


async def test_a_flood_of_one_key_does_not_delay_another(
    world: World, gate: Gate
) -> None:
    backend = gated(gate, n_batch=4, n_seq_max=4)
    world.start_worker(backend, task="embed")
    flood = await submit(world, embed(*["ffff"] * 100, key="flood"))
    gate.allow(1)
    await until(lambda: flood.is_started)
    other = await submit(world, embed("oooo", key="other"))
    await until(lambda: bool(other.worker))
    # One batch was running, and one goes to the request that has waited longer.
    gate.allow(3)
    assert len(numbers(await collect(other))) == 1
    assert not flood.is_done
    gate.open()
    assert len(numbers(await collect(flood))) == 100


async def test_a_request_without_a_client_is_computed_no_further(
    world: World, gate: Gate
) -> None:
    backend = gated(gate, n_seq_max=1)
    worker = world.start_worker(backend, task="embed")
    stream = await submit(world, embed(*"pqrs"))
    gate.allow(1)
    await until(lambda: stream.is_started)
    await stream.aclose()
    await until(lambda: not len(worker.model._accepted))
    gate.open()
    events = await run(world, embed("t"))
    assert len(numbers(events)) == 1
    assert ["s"] not in backend.batches


async def test_a_worker_that_dies_leaves_its_texts_to_the_next(
    world: World, gate: Gate
) -> None:
    world.start_worker(gated(gate), task="embed")
    stream: Stream = await submit(world, embed("p", "q"))
    await until(lambda: bool(stream.worker))
    await world.kill("life-1")
    world.start_worker(FakeEmbedder(), "life-2", task="embed")
    assert len(numbers(await collect(stream))) == 2


async def test_a_worker_that_writes_text_makes_no_vectors(world: World) -> None:
    world.start_worker(FakeBackend())
    with pytest.raises(RequestRejected, match="loaded to generate, not to embed"):
        await run(world, embed("x"))


async def test_a_worker_that_makes_vectors_writes_no_text(world: World) -> None:
    world.start_worker(FakeEmbedder(), task="embed")
    with pytest.raises(RequestRejected, match="loaded to embed, not to generate"):
        await collect(await world.submit("x"))


@pytest.mark.parametrize("task", ["generate", "embed"])
async def test_text_becomes_tokens_and_text_again_without_a_step(
    world: World, task: str
) -> None:
    backend = FakeBackend() if task == "generate" else FakeEmbedder()
    world.start_worker(backend, task=task)
    _, tokenized = await run(world, TokenizationRequest("a", "héy"))
    assert isinstance(tokenized, Tokenized)
    assert tokenized.tokens == (104, 233, 121)
    assert tokenized.pieces == (b"h", "é".encode(), b"y")
    _, detokenized = await run(
        world, DetokenizationRequest("b", tokenized.tokens, path="tokens")
    )
    assert isinstance(detokenized, Detokenized)
    assert detokenized.text == "héy"
    unknown = DetokenizationRequest("c", (1, 0x110000), path="tokens")
    with pytest.raises(RequestRejected) as caught:
        await run(world, unknown)
    assert caught.value.param == "tokens[1]"


async def test_a_draining_worker_finishes_the_texts_that_it_has_begun(
    world: World, gate: Gate
) -> None:
    worker = world.start_worker(gated(gate, n_seq_max=1), task="embed")
    stream = await submit(world, embed(*"pqrs"))
    gate.allow(1)
    await until(lambda: stream.is_started)
    worker.drain()
    gate.open()
    assert len(numbers(await collect(stream))) == 4
    assert await asyncio.wait_for(world.workers["life-1"], WAIT_S) == 0
