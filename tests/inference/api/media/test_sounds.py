"""Sounds in chats, as a worker gets them, and where they are refused."""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from asgiref.sync import sync_to_async

from inference.api.accounting.demand import demand_of
from inference.prompts.token_estimate import estimate_sound_tokens
from tests.inference.api.media.images import data_url
from tests.sound_files import MP3, tune, wav_file

if TYPE_CHECKING:
    from inference.engine.media.inputs import SoundInput
    from registry.models import Model
    from tests.fakes import FakeEngineClient
    from tests.inference.api.conftest import Api

WAV = wav_file(tune(0.5, 8_000), 8_000)
AT = "messages[0].content[1].input_audio.data"


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def sound(data: bytes | str = WAV, kind: str = "wav") -> dict[str, Any]:
    text = data if isinstance(data, str) else base64_of(data)
    return {"type": "input_audio", "input_audio": {"data": text, "format": kind}}


def user(*parts: Any) -> list[dict[str, Any]]:
    content = [
        {"type": "text", "text": part} if isinstance(part, str) else part
        for part in parts
    ]
    return [{"role": "user", "content": content}]


def samples(found: SoundInput) -> Any:
    return np.frombuffer(zlib.decompress(found.packed), "<f4")


async def test_a_worker_gets_a_sound_where_it_was(
    api: Api, engine: FakeEngineClient, hearing: Model
) -> None:
    response = await api.chat(messages=user("What is", sound(), "this?"))

    assert response.status_code == 200, response.content
    (request,) = engine.requests
    assert f"user\nWhat is{request.sound_marker}this?<|im_end|>" in request.prompt
    (found,) = request.sounds
    assert (found.rate, found.seconds) == (16_000, 0.5)
    # As loud as it was, at another rate.
    assert np.abs(samples(found)).max() == pytest.approx(
        np.abs(tune(0.5, 8_000)).max(), abs=0.1
    )
    assert not request.media


async def test_a_sound_has_the_rate_that_the_projector_reads(
    api: Api, engine: FakeEngineClient, hearing: Model
) -> None:
    assert hearing.projector is not None
    hearing.projector.metadata["clip.audio.projector_type"] = "mimo_audio"
    await sync_to_async(hearing.projector.save)()
    await api.chat(messages=user(sound(MP3.read_bytes(), "mp3")))

    (found,) = engine.requests[0].sounds
    assert found.rate == 24_000
    assert found.seconds == pytest.approx(0.8, abs=0.1)


async def test_the_same_sound_is_known_by_its_digest(
    api: Api, engine: FakeEngineClient, hearing: Model
) -> None:
    other = wav_file(tune(0.5, 8_000, seed=1), 8_000)
    await api.chat(messages=user(sound(), sound(other), sound()))

    first, second, third = (each.digest for each in engine.requests[0].sounds)
    assert first == third != second


async def test_a_model_without_a_projector_of_sounds_refuses_them_by_name(
    api: Api, engine: FakeEngineClient, seeing: Model
) -> None:
    response = await api.chat(messages=user("What is", sound()))

    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, AT)
    assert error["code"] == "unsupported_parameter"
    assert "reads no sounds" in error["message"]
    assert not engine.requests


async def test_a_model_that_hears_refuses_images_by_name(
    api: Api, engine: FakeEngineClient, hearing: Model
) -> None:
    image = {"type": "image_url", "image_url": {"url": data_url()}}
    response = await api.chat(messages=user(image))

    assert response.status_code == 400
    assert "reads no images" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("data", "kind", "code", "said"),
    [
        (b"no sound at all", "wav", "invalid_audio", "not wav"),
        (WAV, "mp3", "invalid_audio", "not mp3"),
        (b"ID3fLaC" + bytes(100), "mp3", "invalid_audio", "not mp3"),
        (WAV[:44], "wav", "invalid_audio", "shorter than 0.1 s"),
        ("###", "wav", "invalid_audio", "cannot be read"),
        (wav_file(tune(3, 8_000), 8_000), "wav", "audio_too_long", "longer than 2 s"),
        (
            wav_file(np.full((4000, 1), np.nan), 8_000, -32),
            "wav",
            "invalid_audio",
            "numbers that are no sound",
        ),
        (
            wav_file(np.full((4000, 1), 1e30), 8_000, -32),
            "wav",
            "invalid_audio",
            "numbers that are no sound",
        ),
    ],
)
async def test_what_is_no_sound_here_is_refused_by_name(
    api: Api,
    engine: FakeEngineClient,
    hearing: Model,
    configure: Any,
    data: bytes | str,
    kind: str,
    code: str,
    said: str,
) -> None:
    configure(media__max_sound_seconds=2)
    response = await api.chat(messages=user("What is", sound(data, kind)))

    error = response.json()["error"]
    assert (response.status_code, error["param"], error["code"]) == (400, AT, code)
    assert said in error["message"]
    assert not engine.requests


async def test_another_format_is_refused_by_name(
    api: Api, engine: FakeEngineClient, hearing: Model
) -> None:
    response = await api.chat(messages=user("What is", sound(WAV, "flac")))

    error = response.json()["error"]
    assert response.status_code == 400
    assert error["param"] == "messages[0].content[1].input_audio.format"
    assert "wav or mp3" in error["message"]
    assert not engine.requests


async def test_too_many_sounds_are_refused(
    api: Api, hearing: Model, configure: Any
) -> None:
    configure(media__max_sounds=1)
    response = await api.chat(messages=user(sound(), sound()))

    error = response.json()["error"]
    assert (error["code"], error["param"]) == ("too_many_sounds", AT)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/responses", {"input": user(sound())}),
        ("/v1/messages", {"max_tokens": 8, "messages": user(sound())}),
    ],
)
async def test_apis_without_sounds_refuse_them_by_name(
    api: Api, engine: FakeEngineClient, hearing: Model, path: str, body: dict[str, Any]
) -> None:
    response = await api.post(path, {"model": "tiny", **body})

    assert response.status_code == 400
    assert "input_audio" in response.json()["error"]["message"]
    assert not engine.requests


@pytest.mark.parametrize("role", ["system", "assistant"])
async def test_sounds_are_in_messages_of_users_and_tools(
    api: Api, hearing: Model, role: str
) -> None:
    turns = [{"role": role, "content": [sound()]}, *user("Hi")]
    response = await api.chat(messages=turns)

    assert response.json()["error"]["code"] == "unsupported_parameter"
    assert "messages of the user and of tools" in response.json()["error"]["message"]


async def test_ollamas_routes_take_sounds_among_the_images(
    api: Api, engine: FakeEngineClient, hearing: Model, configure: Any
) -> None:
    configure(api__ollama=True)
    data = [base64_of(WAV), base64_of(MP3.read_bytes())]
    turn = {"role": "user", "content": "What is this?", "images": data}
    body = {"model": "tiny", "stream": False}
    chat = await api.post("/api/chat", {**body, "messages": [turn]})
    generate = await api.post(
        "/api/generate", {**body, "prompt": "What is this?", "images": data}
    )
    broken = await api.post("/api/generate", {**body, "images": [base64_of(WAV[:44])]})

    assert [each.status_code for each in (chat, generate)] == [200, 200]
    for request in engine.requests:
        assert len(request.sounds) == 2
    assert broken.status_code == 400
    assert "'images[0]'" in broken.json()["error"]


@pytest.mark.parametrize(
    ("file", "kind", "seconds"),
    [
        (wav_file(tune(2, 8_000), 8_000), "wav", 2),
        (wav_file(tune(2, 48_000, 2), 48_000, 32), "wav", 2),
        (bytes(16_000), "mp3", 2),
    ],
)
def test_limits_count_a_sound_by_its_length(
    file: bytes, kind: str, seconds: float
) -> None:
    counted = estimate_sound_tokens(base64_of(file), kind, 300)

    assert counted == pytest.approx(25 * seconds, abs=1)
    assert estimate_sound_tokens(base64_of(file), kind, 1) == 25


async def test_a_sound_counts_before_it_is_read(
    api: Api, engine: FakeEngineClient, hearing: Model
) -> None:
    long = wav_file(tune(20.5, 8_000), 8_000)
    await api.chat(messages=user("Hi", sound()))
    await api.chat(messages=user("Hi", sound(long)))

    short, other = (
        demand_of([each], hearing, needs_tokens=True).tokens for each in engine.requests
    )
    # Their marks are texts, each of some more or fewer tokens.
    assert other.prompt - short.prompt == pytest.approx(25 * 20, abs=25)


async def test_a_model_that_hears_says_so(api: Api, hearing: Model) -> None:
    found = await api.get("/v1/models/tiny")

    assert "audio" in found.json()["capabilities"]
    assert "vision" not in found.json()["capabilities"]
