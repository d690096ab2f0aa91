"""The body of POST /v1/models, and the queries of /v1/downloads."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from inference.api.body.request_body import Body
from registry.hub.source import MAX_LENGTH

_Name = Annotated[str, Field(min_length=1, max_length=MAX_LENGTH)]


class PullRequest(Body):
    """Which model to get."""

    model: _Name
    """`org/repo`, `org/repo:Q4_K_M`, `org/repo:folder/file.gguf`, or the https address
    of a GGUF file."""
    stream: bool = False
    """Send the progress as server-sent events."""


class OfferQuery(Body):
    """The query of GET /v1/downloads/offer."""

    model: _Name
    """`org/repo`, or an address of the hub."""
