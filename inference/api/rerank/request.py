"""The body of POST /v1/rerank."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, Tag

from inference.api.body.request_body import Body
from inference.api.parameters.priority import PriorityParameter
from inference.api.parameters.value_types import (
    Between,
    ModelName,
    NonEmpty,
    Text,
    by_json_type,
)

MAX_DOCUMENTS = 2048


class Document(Body):
    """A document as an object."""

    text: Text


class RerankRequest(PriorityParameter):
    """A query, and documents to rank by their relevance to it."""

    model: ModelName
    """Id, alias or file name of a reranker."""
    query: NonEmpty
    """What the documents are ranked for."""
    documents: Annotated[
        list[
            Annotated[
                Annotated[Text, Tag("string")] | Annotated[Document, Tag("object")],
                by_json_type("a string or an object with a text"),
            ]
        ],
        Field(min_length=1, max_length=MAX_DOCUMENTS),
    ]
    """The documents. One that is longer, with the query, than the model's context is
    refused, never truncated."""
    top_n: Annotated[int, Between(1, MAX_DOCUMENTS)] = MAX_DOCUMENTS
    """Return only the best documents, this many. Default: all."""
    return_documents: bool = False
    """Return the documents' texts too."""

    @property
    def texts(self) -> list[str]:
        """The documents' texts."""
        return [each if isinstance(each, str) else each.text for each in self.documents]
