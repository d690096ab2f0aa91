"""Bodies of requests with images count as long as their images are read."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import pytest

from inference.api.body.in_flight import FREE_BYTES, body_budget
from inference.api.media import reading
from inference.api.media.decoding_pool import UndecodableFile

if TYPE_CHECKING:
    from tests.inference.api.conftest import Api

_DATA = "A" * (FREE_BYTES + 1024)
_URL = f"data:image/png;base64,{_DATA}"
_SOURCE = {"type": "base64", "media_type": "image/png", "data": _DATA}


class Pool:
    """Notes what bodies are held, and decodes nothing."""

    def __init__(self) -> None:
        self.held: list[int] = []

    def decode_image(self, *args: Any, **options: Any) -> Future[Any]:
        self.held.append(body_budget().held)
        failed: Future[Any] = Future()
        failed.set_exception(UndecodableFile("it is no image"))
        return failed


@pytest.mark.usefixtures("seeing")
@pytest.mark.parametrize(
    ("path", "name", "part"),
    [
        (
            "/v1/chat/completions",
            "messages",
            {"type": "image_url", "image_url": {"url": _URL}},
        ),
        (
            "/v1/messages/count_tokens",
            "messages",
            {"type": "image", "source": _SOURCE},
        ),
        (
            "/v1/responses/input_tokens",
            "input",
            {"type": "input_image", "image_url": _URL, "detail": "auto"},
        ),
    ],
)
async def test_a_body_is_held_until_its_images_are_read(
    api: Api,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    name: str,
    part: dict[str, Any],
) -> None:
    pool = Pool()
    monkeypatch.setattr(reading, "decoding_pool", lambda: pool)
    body = {"model": "tiny", name: [{"role": "user", "content": [part]}]}

    response = await api.post(path, body)

    assert response.status_code == 400, response.content
    assert "it is no image" in response.content.decode()
    (held,) = pool.held
    assert held > 1024
    assert body_budget().held == 0
