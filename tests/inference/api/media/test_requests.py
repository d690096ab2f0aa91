"""Images in chats, responses and messages, as a worker gets them."""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async

from inference.api.accounting.demand import demand_of
from inference.api.media import reading
from inference.transport.messages.events import Tokenized
from tests.factories import make_api_key
from tests.fakes import accepted
from tests.inference.api.media.images import (
    BLUE,
    RED,
    data_url,
    huge_png,
    image_file,
)

if TYPE_CHECKING:
    from inference.engine.request import GenerationRequest
    from registry.models import Model
    from tests.fakes import FakeEngineClient
    from tests.inference.api.conftest import Api

#: What a worker counts: three tokens of text, and those of the image.
COUNTED = 67


def image(url: str | None = None, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url or data_url(), **more}}


def user(*parts: Any) -> list[dict[str, Any]]:
    content = [
        {"type": "text", "text": part} if isinstance(part, str) else part
        for part in parts
    ]
    return [{"role": "user", "content": content}]


def pixels(request: GenerationRequest) -> list[tuple[int, ...]]:
    """Return the first pixel of each image."""
    return [tuple(zlib.decompress(each.packed)[:3]) for each in request.media]


async def test_a_worker_gets_an_image_where_it_was(
    api: Api, engine: FakeEngineClient, seeing: Model
) -> None:
    response = await api.chat(messages=user("What is", image(), "this?"))

    assert response.status_code == 200, response.content
    (request,) = engine.requests
    mark = request.media_marker
    assert f"user\nWhat is{mark}this?<|im_end|>" in request.prompt
    assert pixels(request) == [RED]
    assert (request.media[0].width, request.media[0].height) == (4, 2)


async def test_several_images_are_in_their_order(
    api: Api, engine: FakeEngineClient, seeing: Model
) -> None:
    blue = data_url(image_file("GIF", colour=BLUE), "image/gif")
    turns = [
        *user("First", image()),
        {"role": "assistant", "content": "Red."},
        *user(image(blue), image()),
    ]
    await api.chat(messages=turns)

    (request,) = engine.requests
    assert pixels(request) == [RED, BLUE, RED]
    assert request.prompt.count(request.media_marker) == 3
    assert request.media[0].digest == request.media[2].digest
    assert request.media[0].digest != request.media[1].digest


async def test_nobody_moves_an_image_by_writing_a_mark(
    api: Api, engine: FakeEngineClient, seeing: Model
) -> None:
    await api.chat(messages=user("<__media__> <__image_0__>", image()))

    (request,) = engine.requests
    assert request.prompt.count(request.media_marker) == 1
    assert request.prompt.index("<__media__>") < request.prompt.index(
        request.media_marker
    )


async def test_a_tool_may_return_an_image(
    api: Api, engine: FakeEngineClient, seeing: Model
) -> None:
    call = {
        "id": "c1",
        "type": "function",
        "function": {"name": "screenshot", "arguments": "{}"},
    }
    turns = [
        *user("Look."),
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": [image()]},
    ]
    response = await api.chat(messages=turns)

    assert response.status_code == 200, response.content
    assert pixels(engine.requests[0]) == [RED]


async def test_low_detail_makes_an_image_small(
    api: Api, engine: FakeEngineClient, seeing: Model
) -> None:
    url = data_url(image_file(size=(1024, 512)))
    await api.chat(messages=user(image(url), image(url, detail="low")))

    found = [(each.width, each.height) for each in engine.requests[0].media]
    assert found == [(1024, 512), (512, 256)]


async def test_responses_take_images(
    api: Api, engine: FakeEngineClient, seeing: Model
) -> None:
    content = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": data_url(), "detail": "auto"},
    ]
    turns = [{"role": "user", "content": content}]
    response = await api.post("/v1/responses", {"model": "tiny", "input": turns})

    assert response.status_code == 200, response.content
    assert pixels(engine.requests[0]) == [RED]

    engine.enqueue([accepted(0), Tokenized("", (1, 2, 3), (), 64)])
    counted = await api.post(
        "/v1/responses/input_tokens", {"model": "tiny", "input": turns}
    )
    assert counted.json()["input_tokens"] == COUNTED
    assert pixels(engine.requests[-1]) == [RED]


async def test_messages_take_images(
    api: Api, engine: FakeEngineClient, seeing: Model
) -> None:
    source = {
        "type": "base64",
        "media_type": "image/png",
        "data": base64.b64encode(image_file()).decode(),
    }
    content = [
        {"type": "image", "source": source},
        {"type": "text", "text": "What is this?"},
    ]
    body = {
        "model": "tiny",
        "max_tokens": 8,
        "messages": [{"role": "user", "content": content}],
    }
    response = await api.post("/v1/messages", body)

    assert response.status_code == 200, response.content
    assert pixels(engine.requests[0]) == [RED]

    engine.enqueue([accepted(0), Tokenized("", (1, 2, 3), (), 64)])
    counted = await api.post(
        "/v1/messages/count_tokens", {"model": "tiny", "messages": body["messages"]}
    )
    assert counted.json()["input_tokens"] == COUNTED
    assert pixels(engine.requests[-1]) == [RED]


async def test_ollamas_routes_take_images(
    api: Api, engine: FakeEngineClient, seeing: Model, configure: Any
) -> None:
    configure(api__ollama=True)
    images = [base64.b64encode(image_file("WEBP", lossless=True)).decode()]
    turn = {"role": "user", "content": "What is this?", "images": images}
    body = {"model": "tiny", "stream": False}
    chat = await api.post("/api/chat", {**body, "messages": [turn]})
    generate = await api.post(
        "/api/generate", {**body, "prompt": "What is this?", "images": images}
    )
    alone = await api.post("/api/generate", {**body, "images": images})

    assert [each.status_code for each in (chat, generate, alone)] == [200] * 3
    for request in engine.requests:
        assert pixels(request) == [RED]
    mark = engine.requests[0].media_marker
    assert f"{mark}What is this?" in engine.requests[0].prompt


async def test_a_model_without_a_projector_refuses_images_by_name(
    api: Api, engine: FakeEngineClient, model: Model
) -> None:
    response = await api.chat(messages=user("What is", image()))

    assert response.status_code == 400
    error = response.json()["error"]
    assert error["param"] == "messages[0].content[1].image_url.url"
    assert error["code"] == "unsupported_parameter"
    assert "'tiny' reads only text" in error["message"]
    assert not engine.requests


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        (data_url(huge_png()), "image_too_large", "50000 x 50000 pixels"),
        (data_url(b"no image"), "invalid_image", "none of PNG, JPEG, WEBP, GIF"),
        ("data:image/png;base64,###", "invalid_image", "cannot be read"),
        ("data:image/png,abc", "invalid_image", "not in base64"),
        ("data:text/html;base64,AAAA", "invalid_image", "image/png, image/jpeg"),
        ("https://a.org/b.png", "unsupported_image_url", "'data:' URL"),
        ("file:///etc/passwd", "unsupported_image_url", "'data:' URL"),
        ("http://127.0.0.1/x", "unsupported_image_url", "'data:' URL"),
    ],
)
async def test_what_is_no_image_here_is_refused_by_name(
    api: Api, engine: FakeEngineClient, seeing: Model, url: str, code: str, said: str
) -> None:
    response = await api.chat(messages=user("What is", image(url)))

    assert response.status_code == 400, response.content
    error = response.json()["error"]
    assert (error["param"], error["code"]) == (
        "messages[0].content[1].image_url.url",
        code,
    )
    assert said in error["message"]
    assert not engine.requests


async def test_too_many_images_are_refused(
    api: Api, seeing: Model, configure: Any
) -> None:
    configure(media__max_images=2)
    response = await api.chat(messages=user(*[image()] * 3))

    error = response.json()["error"]
    assert (error["code"], error["param"]) == (
        "too_many_images",
        "messages[0].content[2].image_url.url",
    )


async def test_images_that_are_too_large_together_are_refused(
    api: Api, seeing: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_PACKED_BYTES", 20)
    response = await api.chat(messages=user(image(), image()))

    error = response.json()["error"]
    assert error["code"] == "image_too_large"
    assert "too large together" in error["message"]


@pytest.mark.parametrize("role", ["system", "assistant"])
async def test_images_are_in_messages_of_users_and_tools(
    api: Api, seeing: Model, role: str
) -> None:
    turns = [{"role": role, "content": [image()]}, *user("Hi")]
    response = await api.chat(messages=turns)

    assert response.json()["error"]["code"] == "unsupported_parameter"
    assert "messages of the user and of tools" in response.json()["error"]["message"]


async def test_limits_count_an_image(
    api: Api, engine: FakeEngineClient, seeing: Model
) -> None:
    await api.chat(messages=user("Hi"))
    await api.chat(messages=user("Hi", image(data_url(image_file(size=(784, 784))))))

    plain, seen = (
        demand_of([each], seeing, needs_tokens=True).tokens for each in engine.requests
    )
    assert seen.prompt - plain.prompt >= 784


async def test_no_image_is_decoded_of_a_request_that_a_limit_refuses(
    api: Api, seeing: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoPool:
        def decode_image(self, *args: Any, **options: Any) -> None:
            pytest.fail("an image is decoded")

    _, api.secret = await sync_to_async(make_api_key)(rate_limit=1)
    assert (await api.chat(messages=user("Hi"))).status_code == 200
    monkeypatch.setattr(reading, "decoding_pool", NoPool)

    response = await api.chat(messages=user(image()))

    assert response.status_code == 429, response.content
