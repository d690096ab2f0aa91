"""Sounds in the batch of a tiny random model: as llama.cpp itself computes them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from inference.engine.errors import InvalidRequest
from tests.inference.engine.llama.media_driver import MediaDriver, encoded, load
from tests.inference.engine.llama.mtmd_reference import MARKER, reference_answer
from tests.media_inputs import image_input, sound_input
from tests.sound_files import MP3, tune, wav_file
from tests.tiny_projectors import write_tiny_hearing, write_tiny_vision

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from inference.engine.llama import LlamaBackend
    from inference.engine.media.inputs import MediaInput

pytestmark = pytest.mark.model

LIMIT = 8
#: Seconds, rate, channels, bits: the last one is longer than an encoder's piece.
SOUNDS = (
    (1, 16_000, 1, 16),
    (0.5, 8_000, 2, 8),
    (0.3, 44_100, 1, 24),
    (0.7, 22_050, 2, -32),
    (31, 16_000, 1, 32),
)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Five wav files of different kinds, and an mp3 file."""
    folder = tmp_path_factory.mktemp("sounds")
    paths = []
    for number, (seconds, rate, channels, bits) in enumerate(SOUNDS):
        samples = tune(seconds, rate, channels, seed=number)
        paths.append(folder / f"{number}.wav")
        paths[-1].write_bytes(wav_file(samples, rate, bits))
    return [*paths, MP3]


@pytest.fixture(
    scope="module",
    params=["ultravox", pytest.param("qwen2a", marks=pytest.mark.long)],
)
def files(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp(request.param)
    return write_tiny_hearing(request.param, folder)


@pytest.fixture(scope="module")
def backend(files: tuple[Path, Path]) -> Iterator[LlamaBackend]:
    backend = load(files, n_ctx=2048)
    yield backend
    backend.close()


def test_the_answers_are_llama_cpps_own(
    files: tuple[Path, Path], backend: LlamaBackend, sounds: list[Path]
) -> None:
    driver = MediaDriver(backend, LIMIT)
    for number, path in enumerate(sounds):
        prompt = f"Q{number}: {MARKER} What is it?"
        expected = reference_answer(*files, prompt, [path], LIMIT)
        media: list[MediaInput] = [sound_input(path)]
        assert driver.answer_to(path.name, prompt, media) == expected


def test_what_a_model_reads_of_different_sounds_is_different(
    backend: LlamaBackend, sounds: list[Path]
) -> None:
    assert backend.projector is not None
    read = [
        backend.projector.read(
            MARKER, [sound_input(path)], marker=MARKER, special=True, owner=""
        )
        for path in sounds
    ]
    heard = [each.spans[0].embeddings for each in read]
    for number, one in enumerate(heard):
        for other in heard[:number]:
            assert np.abs(one - other).max() > 0.01


def test_requests_side_by_side_are_answered_as_alone(
    backend: LlamaBackend, sounds: list[Path]
) -> None:
    media: list[list[MediaInput]] = [[sound_input(path)] for path in sounds[:3]]
    asked = [(f"Q{n}: {MARKER} What?", each) for n, each in enumerate(media)]
    asked.append(("Nothing to hear.", []))
    alone = MediaDriver(backend, LIMIT)
    expected = [
        alone.answer_to(str(n), prompt, each) for n, (prompt, each) in enumerate(asked)
    ]
    beside = MediaDriver(backend, LIMIT)
    for n, (prompt, each) in enumerate(asked):
        beside.ask(str(n), prompt, each)
        beside.step(2)
    beside.run()
    assert [beside.tokens[str(n)] for n in range(len(asked))] == expected


def test_a_sound_in_the_prefix_cache_is_not_computed_again(
    backend: LlamaBackend, sounds: list[Path]
) -> None:
    driver = MediaDriver(backend, LIMIT)
    first, second = sound_input(sounds[0]), sound_input(sounds[1])
    prompt = f"{MARKER} What is it?"
    cold = driver.answer_to("cold", prompt, [first])
    again = driver.answer_to("again", prompt, [first])
    driver.answer_to("other", prompt, [second])
    driver.ask("ben", prompt, [first], owner="ben")
    driver.run()

    assert again == cold == driver.tokens["ben"]
    assert driver.cached["again"] > 50
    # Of another sound only what comes before it is the same; of another owner nothing.
    assert driver.cached["other"] < 50
    assert driver.cached["ben"] == 0


def test_a_sound_is_encoded_once_for_an_owner(
    backend: LlamaBackend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    projector = backend.projector
    assert projector is not None
    file = tmp_path / "new.wav"
    file.write_bytes(wav_file(tune(0.2, 16_000, seed=99), 16_000))
    calls = encoded(backend, monkeypatch)
    for owner in ("ann", "ann", "ben"):
        projector.read(
            MARKER, [sound_input(file)], marker=MARKER, special=True, owner=owner
        )
    assert len(calls) == 2


def test_the_tokens_of_sounds_are_counted(
    backend: LlamaBackend, sounds: list[Path]
) -> None:
    assert backend.projector is not None
    read = backend.projector.read(
        f"{MARKER} and {MARKER}",
        [sound_input(sounds[0]), sound_input(sounds[1])],
        marker=MARKER,
        special=True,
        owner="",
    )
    driver = MediaDriver(backend, LIMIT)
    driver.add("x", read.tokens, LIMIT, media_spans=read.spans)

    counted = {output.num_audio for output in driver.core.step()}

    assert counted == {sum(len(each.embeddings) for each in read.spans)}
    driver.run()


@pytest.mark.parametrize(
    ("seconds", "read"), [(0.5, 0.5), (30, 30), (30.01, 30.1), (30.2, 30.2)]
)
def test_the_last_piece_of_a_sound_is_as_long_as_the_shortest_sound(
    backend: LlamaBackend,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    seconds: float,
    read: float,
) -> None:
    """Some encoders end the process over a piece without a whole spectrum."""
    projector = backend.projector
    assert projector is not None
    file = tmp_path / "long.wav"
    file.write_bytes(wav_file(np.zeros((round(seconds * 16_000), 1)), 16_000))
    make, lengths = projector._mtmd.mtmd_bitmap_init_from_audio, []

    def noted(count: int, samples: Any) -> Any:
        lengths.append(count)
        return make(count, samples)

    monkeypatch.setattr(projector._mtmd, "mtmd_bitmap_init_from_audio", noted)
    projector.read(MARKER, [sound_input(file)], marker=MARKER, special=True, owner="")

    assert lengths == [round(read * 16_000)]


def test_a_sound_of_another_rate_is_refused(
    backend: LlamaBackend, sounds: list[Path]
) -> None:
    assert backend.projector is not None
    sound = replace(sound_input(sounds[0]), rate=24_000)
    with pytest.raises(InvalidRequest, match="16000 samples a second, not 24000"):
        backend.projector.read(MARKER, [sound], marker=MARKER, special=True, owner="")


def test_a_model_that_only_sees_refuses_sounds_and_one_that_only_hears_images(
    tmp_path: Path, sounds: list[Path]
) -> None:
    picture = image_input(np.zeros((8, 8, 3), np.uint8))
    sound = sound_input(sounds[0])
    for files, medium, noun in (
        (write_tiny_vision("mlp", tmp_path / "sees"), sound, "sounds"),
        (write_tiny_hearing("ultravox", tmp_path / "hears"), picture, "images"),
    ):
        backend = load(files, n_ctx=256)
        try:
            assert backend.projector is not None
            with pytest.raises(InvalidRequest, match=f"reads? no {noun}"):
                backend.projector.read(
                    MARKER, [medium], marker=MARKER, special=True, owner=""
                )
        finally:
            backend.close()


@pytest.mark.long
def test_a_prompt_has_an_image_and_a_sound(
    tmp_path: Path, sounds: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    from PIL import Image

    files = write_tiny_hearing("qwen2a", tmp_path)
    picture = tmp_path / "picture.png"
    pixels = np.random.default_rng(3).integers(0, 256, (40, 56, 3), np.uint8)
    Image.fromarray(pixels).save(picture)
    backend = load(files, n_ctx=2048)
    try:
        prompt = f"See {MARKER}, hear {MARKER}."
        expected = reference_answer(*files, prompt, [picture, sounds[0]], LIMIT)
        media: list[MediaInput] = [image_input(picture), sound_input(sounds[0])]
        driver = MediaDriver(backend, LIMIT)
        assert driver.answer_to("x", prompt, media) == expected
    finally:
        backend.close()
