"""OpenAI's own package for Python, on files and batches."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.clients.client import EMBEDDER, MODEL, Client
from tests.openai_schema import check

if TYPE_CHECKING:
    from collections.abc import Callable

CLIENT = Client(
    "openai, batches",
    ("openai",),
    """
    from openai import OpenAI

    client = OpenAI(base_url="http://localhost:8000/v1", api_key="YOUR_KEY")
    """,
    note="Files of purpose `batch`; batches run while the server has nothing else.",
)
CHAT = "/v1/chat/completions"
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {
        "model": MODEL,
        "max_tokens": 4,
        "messages": [{"role": "user", "content": "Hi."}],
    },
    "/v1/completions": {"model": MODEL, "max_tokens": 4, "prompt": "Once"},
    "/v1/responses": {"model": MODEL, "max_output_tokens": 4, "input": "Hi."},
    "/v1/embeddings": {"model": EMBEDDER, "input": "Hi."},
}
KINDS = {
    CHAT: "chat.completion",
    "/v1/completions": "text_completion",
    "/v1/responses": "response",
    "/v1/embeddings": "list",
}


@pytest.fixture
def client(names: dict[str, Any]) -> Any:
    """The client, closed at the end."""
    with names["client"] as client:
        yield client


def upload(client: Any, url: str, bodies: list[dict[str, Any]]) -> Any:
    lines = [
        {"custom_id": str(n), "method": "POST", "url": url, "body": body}
        for n, body in enumerate(bodies)
    ]
    content = "\n".join(map(json.dumps, lines)).encode()
    return client.files.create(file=("in.jsonl", content), purpose="batch")


def begin(client: Any, url: str, bodies: list[dict[str, Any]]) -> Any:
    return client.batches.create(
        input_file_id=upload(client, url, bodies).id,
        endpoint=url,
        completion_window="24h",
    )


@pytest.fixture
def ended(client: Any, until: Callable[..., None]) -> Callable[[str], Any]:
    """Wait for the end of a batch and return it."""

    def wait(id_: str) -> Any:
        states = ("completed", "failed", "cancelled", "expired")
        until(lambda: client.batches.retrieve(id_).status in states, "the batch's end")
        return client.batches.retrieve(id_)

    return wait


@pytest.mark.parametrize("url", BODIES)
def test_a_batch_of_every_endpoint_is_answered(
    client: Any,
    ended: Callable[[str], Any],
    request: pytest.FixtureRequest,
    url: str,
) -> None:
    if url == "/v1/embeddings":
        request.getfixturevalue("embedder")
    good = BODIES[url]
    batch = ended(begin(client, url, [good, good, {**good, "user": 7}]).id)

    assert batch.status == "completed", batch.errors
    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (3, 2, 1)
    check("Batch", json.loads(batch.model_dump_json(exclude_none=True)))
    output = client.files.content(batch.output_file_id).text.splitlines()
    answers = {each["custom_id"]: each["response"] for each in map(json.loads, output)}
    assert set(answers) == {"0", "1"}
    assert {each["body"]["object"] for each in answers.values()} == {KINDS[url]}
    (refused,) = client.files.content(batch.error_file_id).text.splitlines()
    error = json.loads(refused)["response"]["body"]["error"]
    assert error["param"] == "user"


def test_files_and_batches_are_listed_and_deleted(
    client: Any, ended: Callable[[str], Any]
) -> None:
    batch = ended(begin(client, CHAT, [BODIES[CHAT]]).id)

    assert batch.id in [each.id for each in client.batches.list(limit=1)]
    listed = [each.id for each in client.files.list(purpose="batch")]
    assert batch.input_file_id in listed
    assert client.files.retrieve(batch.output_file_id).purpose == "batch_output"
    for id_ in (batch.input_file_id, batch.output_file_id):
        assert client.files.delete(id_).deleted
        with pytest.raises(openai.NotFoundError):
            client.files.content(id_)


def test_a_batch_is_cancelled(client: Any, ended: Callable[[str], Any]) -> None:
    body = {**BODIES[CHAT], "max_tokens": 200}
    batch = begin(client, CHAT, [body] * 200)

    assert client.batches.cancel(batch.id).status in ("cancelling", "cancelled")

    assert ended(batch.id).status == "cancelled"


def test_what_is_wrong_with_a_file_is_said_by_lines(
    client: Any, ended: Callable[[str], Any]
) -> None:
    batch = ended(begin(client, CHAT, [{"messages": []}]).id)

    assert batch.status == "failed"
    assert (batch.errors.data[0].line, batch.errors.data[0].param) == (1, "body.model")
