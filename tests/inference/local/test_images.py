"""A real model that sees, in a process of its own: from a file to an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from llm_manager import LLMManager
from tests.inference.api.media.images import BLUE, data_url, image_file
from tests.tiny_projectors import write_tiny_vision

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LLMManager]:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_vision("qwen2vl_merger", folder)
    with LLMManager(folder) as manager:
        yield manager


def ask(manager: LLMManager, *urls: str) -> Any:
    """Return the answer to a question about images."""
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    content = [{"type": "text", "text": "What is this?"}, *parts]
    return manager.generate(
        [{"role": "user", "content": content}],
        temperature=0,
        max_tokens=8,
        ignore_eos=True,
        logprobs=True,
    )


def tokens(answer: Any) -> list[list[int]]:
    """Return the bytes of each token."""
    found = answer["choices"][0]["logprobs"]["content"]
    return [each["bytes"] for each in found]


def test_an_answer_is_about_its_image(seeing: LLMManager) -> None:
    red = data_url(image_file(size=(64, 48)))
    blue = data_url(image_file("WEBP", size=(64, 48), colour=BLUE), "image/webp")
    first, again, other = (ask(seeing, url) for url in (red, red, blue))

    assert tokens(first) == tokens(again)
    assert tokens(first) != tokens(other)


def test_an_image_counts_as_the_tokens_that_it_takes(seeing: LLMManager) -> None:
    red = data_url(image_file(size=(64, 48)))
    text, one, two = (ask(seeing, *[red] * count)["usage"] for count in range(3))

    taken = one["prompt_tokens"] - text["prompt_tokens"]
    assert taken >= 8
    assert two["prompt_tokens"] == one["prompt_tokens"] + taken
    # All but the newest token were there from the request before.
    cached = ask(seeing, red)["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert cached == one["prompt_tokens"] - 1


def test_a_program_sees_what_a_model_can(seeing: LLMManager) -> None:
    (found,) = seeing.list_models()

    assert "vision" in found["capabilities"]
