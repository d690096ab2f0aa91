"""Answers: one, a stream of chunks, or many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from inference.api.errors import BadRequest
from inference.local.batch import bodies, run_batch
from inference.local.methods.base import ManagerBase, answer_of
from inference.local.progress import batch_bar
from inference.local.streams import AsyncChunkStream, ChunkStream

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from inference.api.streaming.response_objects import (
        ChatChunk,
        ChatCompletion,
        TextCompletion,
    )
    from inference.local.answers import Said
    from inference.local.parameters import GenerationParameters, Message
    from llm_manager.lib.errors import LLMManagerError

    Prompt = str | list[str] | list[int] | list[list[int]]
    BatchItem = str | list[Message] | Mapping[str, Any]


class GenerationMethods(ManagerBase):
    """What a manager does to get text from models."""

    @overload
    def generate(
        self,
        messages: Sequence[Message],
        *,
        model: str | None = None,
        stream: Literal[False] = False,
        **parameters: Unpack[GenerationParameters],
    ) -> ChatCompletion: ...
    @overload
    def generate(
        self,
        messages: Sequence[Message],
        *,
        model: str | None = None,
        stream: Literal[True],
        **parameters: Unpack[GenerationParameters],
    ) -> ChunkStream[ChatChunk]: ...
    @overload
    def generate(
        self,
        *,
        prompt: Prompt,
        model: str | None = None,
        stream: Literal[False] = False,
        **parameters: Unpack[GenerationParameters],
    ) -> TextCompletion: ...
    @overload
    def generate(
        self,
        *,
        prompt: Prompt,
        model: str | None = None,
        stream: Literal[True],
        **parameters: Unpack[GenerationParameters],
    ) -> ChunkStream[TextCompletion]: ...
    def generate(
        self,
        messages: Sequence[Message] | None = None,
        *,
        prompt: Prompt | None = None,
        model: str | None = None,
        stream: bool = False,
        **parameters: Any,
    ) -> Any:
        """Answer a conversation, or continue a text.

        Args:
            messages: A conversation, as in POST /v1/chat/completions.
            prompt: A text or several, as in POST /v1/completions; instead of messages.
            model: The id of a model; it is loaded if it is not. Default: the current
                one or, if none is loaded, the only one in the folder.
            stream: Return an iterator over chunks. Closing it ends the answer.
            **parameters: Every parameter of the HTTP API: ``max_tokens``,
                ``temperature``, ``tools``, ``response_format``, ``seed`` … docs/api.md
                says what each means.

        Returns:
            The object that the HTTP API returns, as a dict:
            ``answer["choices"][0]["message"]["content"]``.

        Raises:
            BadRequest, RequestRejected: A parameter is unknown, wrong or cannot be
                honoured; ``error.param`` names it.
            ContextLengthExceeded: The prompt is longer than the model's context.
            ModelNotFound: There is no such model, or none is named and none loaded.
            WorkerCrashed: llama.cpp crashed; the next call loads the model again.
        """
        body = _body(messages, prompt, parameters)
        if stream:
            said = self._thread.run(
                self._answers.stream(model, {**body, "stream": True})
            )
            return ChunkStream(self._thread, answer_of(said))
        return answer_of(self._thread.run(self._answers.generate(model, body)))

    @overload
    async def generate_async(
        self,
        messages: Sequence[Message],
        *,
        model: str | None = None,
        **parameters: Unpack[GenerationParameters],
    ) -> ChatCompletion: ...
    @overload
    async def generate_async(
        self,
        *,
        prompt: Prompt,
        model: str | None = None,
        **parameters: Unpack[GenerationParameters],
    ) -> TextCompletion: ...
    async def generate_async(
        self,
        messages: Sequence[Message] | None = None,
        *,
        prompt: Prompt | None = None,
        model: str | None = None,
        **parameters: Any,
    ) -> Any:
        """Answer a conversation or continue a text, as ``generate`` does.

        Cancelling the task ends the answer.
        """
        body = _body(messages, prompt, parameters)
        return answer_of(
            await self._thread.awaited(self._answers.generate(model, body))
        )

    @overload
    def generate_stream(
        self,
        messages: Sequence[Message],
        *,
        model: str | None = None,
        **parameters: Unpack[GenerationParameters],
    ) -> ChunkStream[ChatChunk]: ...
    @overload
    def generate_stream(
        self,
        *,
        prompt: Prompt,
        model: str | None = None,
        **parameters: Unpack[GenerationParameters],
    ) -> ChunkStream[TextCompletion]: ...
    def generate_stream(
        self,
        messages: Sequence[Message] | None = None,
        *,
        prompt: Prompt | None = None,
        model: str | None = None,
        **parameters: Any,
    ) -> Any:
        """Return an iterator over chunks, as ``generate(stream=True)`` does."""
        body = {**_body(messages, prompt, parameters), "stream": True}
        said = self._thread.run(self._answers.stream(model, body))
        return ChunkStream(self._thread, answer_of(said))

    @overload
    async def generate_stream_async(
        self,
        messages: Sequence[Message],
        *,
        model: str | None = None,
        **parameters: Unpack[GenerationParameters],
    ) -> AsyncChunkStream[ChatChunk]: ...
    @overload
    async def generate_stream_async(
        self,
        *,
        prompt: Prompt,
        model: str | None = None,
        **parameters: Unpack[GenerationParameters],
    ) -> AsyncChunkStream[TextCompletion]: ...
    async def generate_stream_async(
        self,
        messages: Sequence[Message] | None = None,
        *,
        prompt: Prompt | None = None,
        model: str | None = None,
        **parameters: Any,
    ) -> Any:
        """Return an async iterator over chunks: ``async for chunk in await …``."""
        body = {**_body(messages, prompt, parameters), "stream": True}
        said = await self._thread.awaited(self._answers.stream(model, body))
        return AsyncChunkStream(self._thread, answer_of(said))

    def generate_batch(
        self,
        requests: Sequence[BatchItem],
        *,
        model: str | None = None,
        max_parallel: int | None = None,
        progress: bool = True,
        return_errors: bool = False,
        **parameters: Unpack[GenerationParameters],
    ) -> list[Any]:
        """Answer many requests in one batch of the engine; return them in their order.

        Args:
            requests: Each a text (a prompt), a list of messages, or a dict with the
                parameters of ``generate``.
            model: As in ``generate``.
            max_parallel: The most requests at once. Default: enough to keep every
                sequence of the engine busy.
            progress: Show a progress bar on a terminal or in a notebook.
            return_errors: Return errors in the places of their answers. Default: the
                first error ends the batch.
            **parameters: Those of all requests; a request's own ones count more.

        Raises:
            What ``generate`` raises, unless errors are returned.
        """
        made = bodies(requests, parameters)
        with batch_bar(len(made), is_shown=progress) as on_done:
            found = self._thread.run(
                self._batch(model, made, max_parallel, on_done, return_errors)
            )
        return _answers_of(found)

    async def generate_batch_async(
        self,
        requests: Sequence[BatchItem],
        *,
        model: str | None = None,
        max_parallel: int | None = None,
        progress: bool = False,
        return_errors: bool = False,
        **parameters: Unpack[GenerationParameters],
    ) -> list[Any]:
        """Answer many requests, as ``generate_batch`` does."""
        made = bodies(requests, parameters)
        with batch_bar(len(made), is_shown=progress) as on_done:
            found = await self._thread.awaited(
                self._batch(model, made, max_parallel, on_done, return_errors)
            )
        return _answers_of(found)

    def _batch(
        self,
        model: str | None,
        requests: Sequence[Mapping[str, Any]],
        max_parallel: int | None,
        on_done: Callable[[], None],
        return_errors: bool,  # noqa: FBT001
    ) -> Coroutine[Any, Any, list[Said | LLMManagerError]]:
        return run_batch(
            self._answers,
            self._models,
            model,
            requests,
            max_parallel=max_parallel,
            on_done=on_done,
            return_errors=return_errors,
        )


def _body(
    messages: Sequence[Message] | None,
    prompt: Prompt | None,
    parameters: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the body of a request for text. Raises BadRequest."""
    if (messages is None) == (prompt is None):
        raise BadRequest("Give either messages or a prompt.", param="messages")
    if prompt is not None:
        return {**parameters, "prompt": prompt}
    return {**parameters, "messages": messages}


def _answers_of(found: Sequence[Said | LLMManagerError]) -> list[Any]:
    return [each if isinstance(each, Exception) else answer_of(each) for each in found]
