"""The body of POST /v1/embeddings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from inference.api.completions.prompts import Inputs
from inference.api.parameters.priority import PriorityParameter
from inference.api.parameters.value_types import Between, ModelName

#: No model has vectors of more numbers.
_MAX_DIMENSIONS = 65_536


class EmbeddingRequest(PriorityParameter):
    """Texts, and the form of their vectors."""

    model: ModelName
    """Id, alias or file name of an embedding model."""
    input: Inputs
    """One text or up to 2048, each as text or as token ids. What is longer than the
    model's context is refused, never cut."""
    encoding_format: Literal["float", "base64"] = "float"
    """base64 is of float32, little-endian."""
    dimensions: Annotated[int, Between(1, _MAX_DIMENSIONS)] | None = None
    """Keep this many numbers of each vector and make it of length 1 again. Of use with
    models that were trained for it. Default: all."""
    user: Annotated[str, Field(max_length=1024)] | None = None
    """Accepted and not used."""
