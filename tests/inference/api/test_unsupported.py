"""OpenAI's own client, as the measure of what its API has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openai.types import completion_create_params as text
from openai.types import embedding_create_params as embedding
from openai.types.chat import completion_create_params as chat

from inference.api.declarations import requests
from inference.api.embeddings.view import EMBEDDINGS

if TYPE_CHECKING:
    from inference.api.declarations.records import Record

#: What is served here and OpenAI's API has not.
OURS = {name for name, text in requests.CHAT.help.items() if "Not in OpenAI" in text}


def members_of(record: Record) -> set[str]:
    """Return every member that a request may name without being unknown."""
    return {*record.members, *record.inert}


def test_every_member_of_a_chat_request_is_served_or_refused_by_name() -> None:
    theirs = {*chat.CompletionCreateParamsBase.__annotations__, "stream"}

    assert members_of(requests.CHAT) - OURS == theirs


def test_every_member_of_a_completion_request_is_served_or_refused_by_name() -> None:
    theirs = {*text.CompletionCreateParamsBase.__annotations__, "stream"}

    # OpenAI's text completions know no formats; everybody else's do.
    assert members_of(requests.COMPLETION) - OURS - {"response_format"} == theirs


def test_every_member_of_an_embedding_request_is_served() -> None:
    theirs = {*embedding.EmbeddingCreateParams.__annotations__}

    assert members_of(EMBEDDINGS) - OURS == theirs
