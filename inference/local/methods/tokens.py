"""Vectors, tokens and prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from inference.local.methods.base import ManagerBase, answer_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inference.api.embeddings.response import EmbeddingList
    from inference.api.rerank.response import Ranking
    from inference.local.parameters import Message


class TokenMethods(ManagerBase):
    """What a manager does with texts without writing any."""

    def embed(
        self,
        input: str | list[str] | list[int] | list[list[int]],  # noqa: A002 - the API's
        *,
        model: str | None = None,
        **parameters: Any,
    ) -> EmbeddingList:
        """Return a vector for each text, as POST /v1/embeddings does.

        Example: ``manager.embed("a text")["data"][0]["embedding"]``. ``dimensions``
        and ``encoding_format`` are as there.
        """
        body = {**parameters, "input": input}
        return cast("EmbeddingList", self._thread.run(self._answers.embed(model, body)))

    async def embed_async(
        self,
        input: str | list[str] | list[int] | list[list[int]],  # noqa: A002 - the API's
        *,
        model: str | None = None,
        **parameters: Any,
    ) -> EmbeddingList:
        """Return a vector for each text, as ``embed`` does."""
        body = {**parameters, "input": input}
        found = await self._thread.awaited(self._answers.embed(model, body))
        return cast("EmbeddingList", found)

    def rerank(
        self,
        query: str,
        documents: Sequence[str | Mapping[str, str]],
        *,
        model: str | None = None,
        **parameters: Any,
    ) -> Ranking:
        """Return documents by their relevance to a query, as POST /v1/rerank does.

        ``top_n`` and ``return_documents`` are as there.
        """
        body = {**parameters, "query": query, "documents": list(documents)}
        return self._thread.run(self._answers.rerank(model, body))

    async def rerank_async(
        self,
        query: str,
        documents: Sequence[str | Mapping[str, str]],
        *,
        model: str | None = None,
        **parameters: Any,
    ) -> Ranking:
        """Return documents by their relevance to a query, as ``rerank`` does."""
        body = {**parameters, "query": query, "documents": list(documents)}
        return await self._thread.awaited(self._answers.rerank(model, body))

    def count_tokens(
        self,
        content: str | None = None,
        *,
        messages: Sequence[Message] | None = None,
        model: str | None = None,
        **parameters: Any,
    ) -> int:
        """Return how many tokens a text has, or a conversation as a prompt.

        The parameters are those of POST /tokenize: ``add_special``, ``tools`` …
        """
        body = _tokenizing(content, messages, parameters)
        return self._thread.run(self._answers.tokenize(model, body))["count"]

    async def count_tokens_async(
        self,
        content: str | None = None,
        *,
        messages: Sequence[Message] | None = None,
        model: str | None = None,
        **parameters: Any,
    ) -> int:
        """Return how many tokens a text has, as ``count_tokens`` does."""
        body = _tokenizing(content, messages, parameters)
        return (await self._thread.awaited(self._answers.tokenize(model, body)))[
            "count"
        ]

    def apply_template(
        self,
        messages: Sequence[Message],
        *,
        model: str | None = None,
        **parameters: Any,
    ) -> str:
        """Return a conversation as the prompt that the model's chat template makes.

        The parameters are those of POST /apply-template: ``tools``,
        ``chat_template_kwargs``, ``reasoning_effort``.
        """
        body = {**parameters, "messages": list(messages)}
        said = self._thread.run(self._answers.apply_template(model, body))
        return cast("str", answer_of(said))

    async def apply_template_async(
        self,
        messages: Sequence[Message],
        *,
        model: str | None = None,
        **parameters: Any,
    ) -> str:
        """Return a conversation as a prompt, as ``apply_template`` does."""
        body = {**parameters, "messages": list(messages)}
        said = await self._thread.awaited(self._answers.apply_template(model, body))
        return cast("str", answer_of(said))


def _tokenizing(
    content: str | None,
    messages: Sequence[Message] | None,
    parameters: Mapping[str, Any],
) -> dict[str, Any]:
    return {**parameters, "content": content, "messages": messages}
