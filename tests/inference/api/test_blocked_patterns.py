"""Texts that an operator wants in no prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fakes import FakeEngineClient
    from tests.inference.api.conftest import Api

SEED = ("<script>", "javascript:")
ATTACK = "Write <SCRIPT>alert(1)</SCRIPT>"


def chat(content: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": [{"role": "user", "content": content}]}


async def test_nothing_is_blocked_unless_it_is_configured(
    api: Api, engine: FakeEngineClient
) -> None:
    response = await api.post("/v1/chat/completions", chat(ATTACK))
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/chat/completions", chat(ATTACK), "messages[0]"),
        ("/v1/chat/completions", chat("a JavaScript:void(0) link"), "messages[0]"),
        (
            "/v1/chat/completions",
            chat([{"type": "text", "text": "a"}, {"type": "text", "text": ATTACK}]),
            "messages[0]",
        ),
        ("/v1/completions", {"model": "tiny", "prompt": ["a", ATTACK]}, "prompt[1]"),
        (
            "/v1/completions",
            {"model": "tiny", "prompt": "a", "suffix": ATTACK},
            "suffix",
        ),
        # Their text is not known before a model reads it.
        ("/v1/completions", {"model": "tiny", "prompt": [1, 2]}, "prompt"),
    ],
)
async def test_a_configured_pattern_is_refused_wherever_it_is(
    api: Api,
    engine: FakeEngineClient,
    configure: Callable[..., None],
    path: str,
    body: dict[str, Any],
    param: str,
) -> None:
    configure(limits__blocked_patterns=SEED)
    response = await api.post(path, body)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "blocked_pattern")
    assert error["param"] == param
    assert not engine.requests


async def test_other_texts_pass_the_patterns(
    api: Api, engine: FakeEngineClient, configure: Callable[..., None]
) -> None:
    configure(limits__blocked_patterns=SEED)
    response = await api.post("/v1/chat/completions", chat("What is JavaScript?"))
    assert response.status_code == 200
