"""The body of POST /v1/embeddings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from inference.api.completions.prompts import Inputs
from inference.api.parameters.priority import PriorityParameter
from inference.api.parameters.value_types import Between, ModelName

#: The limit of ``dimensions``: no model has larger vectors.
_MAX_DIMENSIONS = 65_536


class EmbeddingRequest(PriorityParameter):
    """Texts, and the format of their vectors."""

    model: ModelName
    """Id, alias or file name of an embedding model."""
    input: Inputs
    """One text or up to 2048, each as text or as token ids. An input longer than the
    model's context is refused, never truncated."""
    encoding_format: Literal["float", "base64"] = "float"
    """base64 is of float32, little-endian."""
    dimensions: Annotated[int, Between(1, _MAX_DIMENSIONS)] | None = None
    """Keep only the first numbers of each vector, this many, and normalize it again.
    For models that were trained for it. Default: all."""
    user: Annotated[str, Field(max_length=1024)] | None = None
    """Accepted and ignored."""
