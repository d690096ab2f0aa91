"""The body of POST /v1/batches."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from inference.api.body.request_body import Body
from inference.api.parameters.value_types import Between

Endpoint = Literal[
    "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"
]


class OutputExpiry(Body):
    """How long the files that a batch writes are kept."""

    anchor: Literal["created_at"]
    """From when: the time at which the file is made."""
    seconds: Annotated[int, Between(3600, 2_592_000)]
    """How long."""


class BatchRequest(Body):
    """A new batch."""

    input_file_id: Annotated[str, Field(min_length=1, max_length=64)]
    """The id of a file of purpose `batch`."""
    endpoint: Endpoint
    """The route that all of its requests are for."""
    completion_window: Literal["24h"]
    """What is not answered then is left unanswered; batches.window_hours may give it
    another time."""
    metadata: Annotated[
        dict[
            Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]
        ],
        Field(max_length=16),
    ] = {}
    """Labels."""
    output_expires_after: OutputExpiry | None = None
    """How long the output and error files are kept. Default: files.retention_days."""
