"""A real model that hears, in a process of its own: from a file to an answer."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest

from llm_manager import LLMManager
from tests.sound_files import MP3, tune, wav_file
from tests.tiny_projectors import write_tiny_hearing

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def hearing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LLMManager]:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_hearing("ultravox", folder)
    with LLMManager(folder) as manager:
        yield manager


def ask(manager: LLMManager, *sounds: tuple[bytes, str]) -> Any:
    """Return the answer to a question about sounds."""
    parts = [
        {
            "type": "input_audio",
            "input_audio": {"data": b64encode(data).decode(), "format": kind},
        }
        for data, kind in sounds
    ]
    content = [{"type": "text", "text": "What is this?"}, *parts]
    return manager.generate(
        [{"role": "user", "content": content}],
        temperature=0,
        max_tokens=8,
        ignore_eos=True,
    )


def test_a_sound_counts_as_the_tokens_that_it_takes(hearing: LLMManager) -> None:
    wav = wav_file(tune(0.5, 22_050, 2), 22_050, 24)
    text = ask(hearing)["usage"]
    one = ask(hearing, (wav, "wav"))["usage"]
    two = ask(hearing, (MP3.read_bytes(), "mp3"), (wav, "wav"))["usage"]

    assert "audio_tokens" not in text["prompt_tokens_details"]
    taken = one["prompt_tokens_details"]["audio_tokens"]
    assert taken == one["prompt_tokens"] - text["prompt_tokens"] > 0
    assert two["prompt_tokens_details"]["audio_tokens"] == 2 * taken
    # All but the newest token were there from the request before.
    again = ask(hearing, (wav, "wav"))["usage"]
    assert again["prompt_tokens_details"]["cached_tokens"] == one["prompt_tokens"] - 1
    assert again["prompt_tokens_details"]["audio_tokens"] == taken


def test_a_program_sees_what_a_model_can(hearing: LLMManager) -> None:
    (found,) = hearing.list_models()

    assert "audio" in found["capabilities"]
    assert "vision" not in found["capabilities"]
