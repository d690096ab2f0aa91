"""Images in the batch of a tiny random model: as llama.cpp itself computes them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from inference.engine.errors import InvalidRequest
from inference.engine.llama.media_cells import decode_span
from tests.inference.engine.llama.media_driver import MediaDriver, encoded, load
from tests.inference.engine.llama.mtmd_reference import MARKER, reference_answer
from tests.media_inputs import image_input
from tests.tiny_projectors import KINDS, write_tiny_vision

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from inference.engine.llama import LlamaBackend

pytestmark = pytest.mark.model

LIMIT = 12
SIZES = ((32, 32), (64, 40), (17, 90), (48, 48), (31, 33))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Five pictures of different sizes."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(7)
    paths = []
    for number, (width, height) in enumerate(SIZES):
        pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
        paths.append(folder / f"{number}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


@pytest.fixture(scope="module", params=KINDS)
def files(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp(request.param)
    return write_tiny_vision(request.param, folder)


@pytest.fixture(scope="module", params=["split", "unified"])
def backend(
    request: pytest.FixtureRequest, files: tuple[Path, Path]
) -> Iterator[LlamaBackend]:
    backend = load(files, n_ctx=512, kv_layout=request.param)
    yield backend
    backend.close()


def prompts(images: list[Path]) -> list[tuple[str, list[Path]]]:
    """Return a question for each picture, and one for two of them."""
    return [
        *((f"Q{n}: {MARKER} What is it?", [path]) for n, path in enumerate(images)),
        (f"Compare {MARKER} with {MARKER}.", [images[0], images[2]]),
    ]


def test_the_answers_are_llama_cpps_own(
    files: tuple[Path, Path], backend: LlamaBackend, images: list[Path]
) -> None:
    driver = MediaDriver(backend, LIMIT)
    for number, (prompt, paths) in enumerate(prompts(images)):
        expected = reference_answer(*files, prompt, paths, LIMIT)
        media = [image_input(path) for path in paths]
        assert driver.answer_to(str(number), prompt, media) == expected


def test_different_pictures_have_different_answers(
    backend: LlamaBackend, images: list[Path]
) -> None:
    driver = MediaDriver(backend, LIMIT)
    prompt = f"{MARKER} What is it?"
    answers = [
        driver.answer_to(path.name, prompt, [image_input(path)]) for path in images
    ]
    assert len(set(map(tuple, answers))) > 1


def test_requests_side_by_side_are_answered_as_alone(
    backend: LlamaBackend, images: list[Path]
) -> None:
    asked = [
        *prompts(images),
        ("No picture here.", []),
    ]
    alone = MediaDriver(backend, LIMIT)
    media = [[image_input(path) for path in paths] for _, paths in asked]
    expected = [
        alone.answer_to(str(n), prompt, media[n]) for n, (prompt, _) in enumerate(asked)
    ]
    beside = MediaDriver(backend, LIMIT)
    for n, (prompt, _) in enumerate(asked):
        beside.ask(str(n), prompt, media[n])
        beside.step(2)
    beside.run()
    assert [beside.tokens[str(n)] for n in range(len(asked))] == expected


def test_a_picture_in_the_prefix_cache_is_not_computed_again(
    backend: LlamaBackend, images: list[Path]
) -> None:
    driver = MediaDriver(backend, LIMIT)
    first, second = image_input(images[0]), image_input(images[1])
    prompt = f"{MARKER} What is it?"
    cold = driver.answer_to("cold", prompt, [first])
    again = driver.answer_to("again", prompt, [first])
    driver.answer_to("other", prompt, [second])
    longer = f"{MARKER} What is it? And what else?"
    driver.answer_to("turn", longer, [first])
    assert again == cold
    assert backend.projector is not None
    read = backend.projector.read(
        prompt, [first], marker=MARKER, special=True, owner=""
    )
    assert driver.cached["again"] == len(read.tokens) - 1
    # Of another picture only what comes before it is the same.
    assert driver.cached["other"] <= read.spans[0].start
    assert driver.cached["turn"] >= driver.cached["again"]


def test_what_is_cached_does_not_change_the_answer(
    backend: LlamaBackend, images: list[Path]
) -> None:
    media = [image_input(images[3])]
    prompts = [f"{MARKER} A long question.", f"{MARKER} A long quest."]
    cold = [
        MediaDriver(backend, LIMIT).answer_to("cold", prompt, media)
        for prompt in prompts
    ]
    driver = MediaDriver(backend, LIMIT)
    warm = [driver.answer_to(f"warm {n}", prompts[n % 2], media) for n in range(4)]
    assert warm == cold + cold


def test_another_owner_finds_no_picture(
    backend: LlamaBackend, images: list[Path]
) -> None:
    driver = MediaDriver(backend, LIMIT)
    prompt = f"{MARKER} What is it?"
    for owner in ("ann", "ben"):
        driver.ask(owner, prompt, [image_input(images[0])], owner=owner)
        driver.run()
    assert driver.cached["ben"] == 0
    assert driver.tokens["ann"] == driver.tokens["ben"]


def test_a_picture_is_encoded_once_for_an_owner(
    backend: LlamaBackend, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    projector = backend.projector
    assert projector is not None
    rng = np.random.default_rng(11)
    media = image_input(rng.integers(0, 256, (20, 20, 3), np.uint8))
    calls = encoded(backend, monkeypatch)
    for owner in ("ann", "ann", "ben"):
        projector.read(MARKER, [media], marker=MARKER, special=True, owner=owner)
    assert len(calls) == 2


def test_a_preempted_request_with_a_picture_goes_on(
    files: tuple[Path, Path], images: list[Path]
) -> None:
    """Cells of a picture are copied out of the cache, and back."""
    backend = load(files, n_ctx=512, n_seq_max=2)
    try:
        asked = prompts(images)[:3]
        media = [[image_input(path) for path in paths] for _, paths in asked]
        alone = MediaDriver(backend, LIMIT)
        expected = [
            alone.answer_to(str(n), prompt, media[n])
            for n, (prompt, _) in enumerate(asked)
        ]
        beside = MediaDriver(backend, LIMIT)
        for n, (prompt, _) in enumerate(asked[:2]):
            beside.ask(str(n), prompt, media[n], key="A")
        beside.step(6)
        beside.ask("2", asked[2][0], media[2], key="B")
        beside.run()
        assert beside.preemptions > 0
        assert [beside.tokens[str(n)] for n in range(3)] == expected
    finally:
        backend.close()


@pytest.mark.parametrize("full_at", [2, 3])
@pytest.mark.parametrize("n_batch", [16, 256])
def test_a_step_that_finds_no_cells_loses_nothing_that_it_has_computed(
    files: tuple[Path, Path],
    images: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    n_batch: int,
    full_at: int,
) -> None:
    """Whichever picture, or part of one, has no room: the next step goes on from there.

    Large steps have the pictures of several requests; small ones cut pictures where
    their model allows it.
    """
    backend = load(
        files, n_ctx=512, kv_layout="unified", n_batch=n_batch, n_ubatch=n_batch
    )
    try:
        asked = [*prompts(images)[-2:], prompts(images)[0]]
        media = [[image_input(path) for path in paths] for _, paths in asked]
        alone = MediaDriver(backend, LIMIT)
        expected = [
            alone.answer_to(str(n), prompt, media[n])
            for n, (prompt, _) in enumerate(asked)
        ]
        calls: list[Any] = []

        def decode(*arguments: Any) -> int:
            calls.append(arguments)
            return 1 if len(calls) == full_at else decode_span(*arguments)

        monkeypatch.setattr("inference.engine.llama.backend.decode_span", decode)
        beside = MediaDriver(backend, LIMIT)
        for n, (prompt, _) in enumerate(asked):
            beside.ask(str(n), prompt, media[n], owner="another")
        beside.run()

        assert len(calls) > full_at
        assert not beside.errors
        assert [beside.tokens[str(n)] for n in range(len(asked))] == expected
    finally:
        backend.close()


def test_a_damaged_picture_leaves_nothing_behind(
    backend: LlamaBackend, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    projector = backend.projector
    assert projector is not None
    freed: list[Any] = []
    free = projector._mtmd.mtmd_bitmap_free

    def noted(bitmap: Any) -> None:
        freed.append(bitmap)
        free(bitmap)

    monkeypatch.setattr(projector._mtmd, "mtmd_bitmap_free", noted)
    whole = image_input(images[0])
    with pytest.raises(InvalidRequest, match="damaged"):
        projector.read(
            f"{MARKER} {MARKER}",
            [whole, replace(whole, packed=b"no pixels")],
            marker=MARKER,
            special=True,
            owner="",
        )
    assert len(freed) == 1


def test_a_deterministic_model_reads_pictures(
    files: tuple[Path, Path], images: list[Path]
) -> None:
    backend = load(files, n_ctx=512, deterministic=True)
    try:
        driver = MediaDriver(backend, LIMIT)
        asked = prompts(images)[:2]
        for n, (prompt, paths) in enumerate(asked):
            driver.ask(str(n), prompt, [image_input(each) for each in paths])
        driver.run()
        for n, (prompt, paths) in enumerate(asked):
            assert driver.tokens[str(n)] == reference_answer(
                *files, prompt, paths, LIMIT
            )
    finally:
        backend.close()


def test_a_prompt_must_show_each_picture_once(
    backend: LlamaBackend, images: list[Path]
) -> None:
    assert backend.projector is not None
    with pytest.raises(InvalidRequest, match="does not show each image"):
        backend.projector.read(
            "nothing", [image_input(images[0])], marker=MARKER, special=True, owner=""
        )


def test_as_many_tokens_are_counted_as_are_read(
    backend: LlamaBackend, images: list[Path]
) -> None:
    assert backend.projector is not None
    for prompt, paths in prompts(images):
        media = [image_input(path) for path in paths]
        read = backend.projector.read(
            prompt, media, marker=MARKER, special=True, owner=""
        )
        text, taken = backend.projector.count(
            prompt, media, marker=MARKER, special=True
        )
        assert len(text) + taken == len(read.tokens)
