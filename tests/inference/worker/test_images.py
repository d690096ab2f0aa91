"""A worker and the images of its requests: who waits for an encoder."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from inference.engine import GenerationRequest, SamplingParams
from inference.engine.config.engine_config import EngineConfig
from inference.engine.media.inputs import ImageInput, SoundInput
from inference.engine.media.spans import MediaPrompt, MediaSpan, media_tokens
from inference.engine.request import TokenizationRequest
from inference.errors import RequestRejected
from inference.transport.messages.events import Accepted, Tokenized
from inference.worker import preparation
from inference.worker.prepare_request import prepare_request
from inference.worker.tokenization import tokenized
from tests.inference.engine.fakes import FakeBackend
from tests.inference.world import WAIT_S, World, collect, text_of, until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference.engine.media.inputs import MediaInput

#: Only so that the client may query; the results are scripted.
pytestmark = pytest.mark.django_db(transaction=True)

IMAGE = ImageInput(1, 1, b"", "red")
TAKEN = 5
CONFIG = EngineConfig(paths=("tiny.gguf",), n_ctx=64, n_seq_max=1)


class SlowProjector:
    """Reads an image when the test says so."""

    def __init__(self) -> None:
        self.allowed = threading.Semaphore(0)
        self.begun: list[str] = []

    def read(
        self, prompt: str, media: Sequence[ImageInput], *, marker: str, **_: Any
    ) -> MediaPrompt:
        self.begun.append(prompt)
        assert self.allowed.acquire(timeout=WAIT_S)
        before, _mark, after = prompt.partition(marker)
        tokens = [
            *map(ord, before),
            *media_tokens(media[0].digest, 0, TAKEN),
            *map(ord, after),
        ]
        rows = np.zeros((TAKEN, 4), np.float32)
        return MediaPrompt(tokens, (MediaSpan(len(before), rows, num_positions=TAKEN),))

    def count(
        self, prompt: str, media: Sequence[ImageInput], *, marker: str, **_: Any
    ) -> tuple[list[int], int]:
        return list(map(ord, prompt.replace(marker, ""))), TAKEN * len(media)


@pytest.fixture
def projector() -> SlowProjector:
    return SlowProjector()


@pytest.fixture
async def backend(world: World, projector: SlowProjector) -> FakeBackend:
    backend = FakeBackend(n_seq_max=2, n_ctx=4096)
    backend.projector = projector
    backend.script("go", "abc")
    backend.script("x*****y", "red")
    backend.script("see*****this", "red")
    world.start_worker(backend)
    return backend


async def see(world: World, prompt: str = "x|y", key: str = "seer") -> Any:
    return await world.submit(
        prompt, key, media=(IMAGE,), media_marker="|", add_special_tokens=True
    )


async def test_texts_of_others_are_answered_while_an_image_is_encoded(
    world: World, backend: FakeBackend, projector: SlowProjector
) -> None:
    seen = [await see(world, key=key) for key in ("a", "b", "c")]
    await until(lambda: bool(projector.begun))

    for _ in range(3):
        assert text_of(await collect(await world.submit("go", "quiet"))) == "abc"

    # One image at a time.
    assert len(projector.begun) == 1
    projector.allowed.release(3)
    for stream in seen:
        assert text_of(await collect(stream)) == "red"


async def test_slow_texts_are_prepared_while_an_image_is_encoded(
    world: World, backend: FakeBackend, projector: SlowProjector
) -> None:
    seen = [await see(world, key=key) for key in ("a", "b", "c")]
    await until(lambda: bool(projector.begun))

    long = "go" * 20_000
    with pytest.raises(RequestRejected, match="context"):
        await collect(await world.submit(long, "reader"))

    projector.allowed.release(3)
    for stream in seen:
        assert text_of(await collect(stream)) == "red"


async def test_an_image_counts_as_its_tokens(
    world: World, backend: FakeBackend, projector: SlowProjector
) -> None:
    projector.allowed.release(1)
    events = await collect(await see(world, "see|this"))

    (accepted,) = [each for each in events if isinstance(each, Accepted)]
    assert accepted.prompt_tokens == len("see") + TAKEN + len("this")


async def test_an_encoding_that_takes_too_long_is_refused(
    world: World,
    backend: FakeBackend,
    projector: SlowProjector,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(preparation, "ENCODING_LIMIT_S", 0.2)
    stuck = await see(world)

    with pytest.raises(RequestRejected, match="to encode"):
        await collect(stuck)
    projector.allowed.release(1)


async def test_a_model_that_was_loaded_without_a_projector_refuses_images(
    world: World, backend: FakeBackend
) -> None:
    backend.projector = None

    with pytest.raises(RequestRejected, match="without a projector"):
        await collect(await see(world))


class NotingProjector:
    """Notes what it is given."""

    def read(
        self, prompt: str, media: Sequence[MediaInput], *, marker: str, **_: Any
    ) -> MediaPrompt:
        self.prompt = prompt.replace(marker, "*")
        self.media = list(media)
        return MediaPrompt([1, 2, 3], ())


@pytest.mark.parametrize(
    ("prompt", "order"),
    [("a|b~c|d", "image sound image"), ("~|~", "sound image sound")],
)
def test_images_and_sounds_are_read_in_the_order_of_the_prompt(
    prompt: str, order: str
) -> None:
    projector = NotingProjector()
    backend = FakeBackend(n_seq_max=2, n_ctx=4096)
    backend.projector = projector
    sound = SoundInput(16_000, 1, b"", "bell")
    kinds = order.split()
    request = GenerationRequest(
        "x",
        [],
        SamplingParams(),
        prompt=prompt,
        media=(IMAGE,) * kinds.count("image"),
        sounds=(sound,) * kinds.count("sound"),
        media_marker="|",
        sound_marker="~",
    )

    ready = tokenized(request, backend, task="generate")

    assert projector.media == [IMAGE if k == "image" else sound for k in kinds]
    assert projector.prompt == prompt.replace("|", "*").replace("~", "*")
    assert not ready.sounds


async def test_the_tokens_of_an_image_are_counted_without_encoding_it(
    world: World, backend: FakeBackend, projector: SlowProjector
) -> None:
    request = TokenizationRequest("", "x|y", media=(IMAGE,), media_marker="|")
    prepared = prepare_request(request, backend, CONFIG)

    assert isinstance(prepared, Tokenized)
    assert prepared.count == 2 + TAKEN
    assert not projector.begun
