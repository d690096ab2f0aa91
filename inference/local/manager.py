"""``LLMManager``: the Python API."""

from __future__ import annotations

import warnings
import weakref
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, cast, overload

from inference.api.errors import BadRequest
from inference.local.answers import Answers
from inference.local.batch import bodies, progress_bar, run_batch
from inference.local.errors import LeftOutWarning
from inference.local.folder import ModelFolder
from inference.local.loaded_models import LoadedModels
from inference.local.loop_thread import LoopThread
from inference.local.model_objects import model_object
from inference.local.streams import AsyncChunkStream, ChunkStream
from llm_manager.config.reading import config_for_python
from llm_manager.lib.errors import LLMManagerError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from inference.api.embeddings.response import EmbeddingList
    from inference.api.models.objects import ModelObject
    from inference.api.rerank.response import Ranking
    from inference.api.streaming.response_objects import (
        ChatChunk,
        ChatCompletion,
        TextCompletion,
    )
    from inference.local.answers import Said
    from inference.local.loaded_models import LoadedModel
    from inference.local.model import LocalModel
    from inference.local.parameters import GenerationParameters, Message
    from llm_manager.config.schema import Config

    Prompt = str | list[str] | list[int] | list[list[int]]
    BatchItem = str | list[Message] | Mapping[str, Any]


class LLMManager:
    """Models on this machine, used from Python: no server, no database, no Django.

    Example::

        with LLMManager(models_dir="./models") as manager:
            manager.load_model("model.gguf", config={"n_ctx": 4096})
            answer = manager.generate(
                messages=[{"role": "user", "content": "Hello!"}], max_tokens=64
            )
            print(answer["choices"][0]["message"]["content"])

    Requests and answers are those of the HTTP API, made by the same code and run by the
    same engine: it batches whatever is asked at the same time, from threads and from
    coroutines. Every method has a twin that ends in ``_async``.

    Nothing is started before it is needed, and no process outlives the program.
    """

    def __init__(
        self,
        models_dir: str | Path | None = None,
        config: Mapping[str, Any] | str | Path | Config | None = None,
        *,
        use_subprocess: bool | None = None,
    ) -> None:
        """Prepare to use the models below a folder.

        Args:
            models_dir: Folder of GGUF files. Default: ``models.dir`` and
                ``models.extra_dirs`` of ``config``.
            config: The path of an ``llm_manager.yaml``, or its sections as a mapping:
                ``{"generation": {"temperature": 0}}``. docs/configuration.md lists the
                keys; those of the server have no effect here. Or the configuration of
                a server, as ``llm_manager.config.reading.load_config()`` returns it.
            use_subprocess: Whether each model runs in a process of its own, so that a
                crash of llama.cpp is an exception (WorkerCrashed) here. False is for
                debuggers. Default: ``models.use_subprocess`` of ``config``, else true.

        Raises:
            ConfigError: The configuration is wrong.
        """
        self._config = config_for_python(config)
        if models_dir is None:
            roots = [self._config.models_dir, *self._config.models.extra_dirs]
        else:
            roots = [Path(models_dir).expanduser().absolute()]
        if use_subprocess is None:
            use_subprocess = self._config.models.use_subprocess
        self._roots = roots
        self._folder = ModelFolder(roots, self._config)
        self._models = LoadedModels(
            self._folder, self._config, use_subprocess=use_subprocess
        )
        self._answers = Answers(self._models, self._config)
        self._thread = LoopThread()
        # At the end of the program too; without this object, which may be gone then.
        self._finalizer = weakref.finalize(self, _close, self._thread, self._models)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close_async()

    def __repr__(self) -> str:
        folders = ", ".join(str(root) for root in self._roots)
        loaded = ", ".join(self.loaded_models) or "none"
        return f"<LLMManager of {folders}; loaded: {loaded}>"

    # Models -----------------------------------------------------------------------

    @property
    def loaded_models(self) -> list[str]:
        """The ids of the loaded models; the last one is the current one."""
        return self._models.names

    @property
    def current_model(self) -> str | None:
        """The id of the model that was loaded last: it answers if none is named."""
        names = self._models.names
        return names[-1] if names else None

    def load_model(
        self, name: str, config: Mapping[str, Any] | None = None
    ) -> ModelObject:
        """Load a model; it is the current one then. Returns it as ``model_info`` does.

        Other models stay loaded. A model that is loaded already in this way stays; in
        another way, it is loaded again.

        Args:
            name: Its id or file name, as in ``list_models()``.
            config: How to load it: ``n_ctx``, ``n_gpu_layers``, ``n_seq_max`` and every
                other load setting of a model's page in the admin, by name, and its
                defaults for requests, as ``temperature``.

        Raises:
            ModelNotFound: There is no such model; the message lists those that are.
            InvalidLoadSetting: A setting is unknown, wrong, or does not fit.
            ModelLoadFailed: There is not enough memory, or llama.cpp cannot load it.
            WorkerCrashed: llama.cpp crashed.
        """
        return self._thread.run(self._load(name, config))

    async def load_model_async(
        self, name: str, config: Mapping[str, Any] | None = None
    ) -> ModelObject:
        """Load a model, as ``load_model`` does."""
        return await self._thread.awaited(self._load(name, config))

    def unload_model(self, name: str | None = None) -> None:
        """Unload a model, or the current one; its memory is free afterwards.

        Does nothing if no model is loaded. Unfinished requests end with ModelUnloaded.

        Raises:
            ModelNotFound: The named model is not loaded.
        """
        self._thread.run(self._models.unload(name))

    async def unload_model_async(self, name: str | None = None) -> None:
        """Unload a model, as ``unload_model`` does."""
        await self._thread.awaited(self._models.unload(name))

    def switch_model(
        self, name: str, config: Mapping[str, Any] | None = None
    ) -> ModelObject:
        """Unload the current model, then load another, as ``load_model`` does.

        A model or settings that do not exist unload nothing.
        """
        return self._thread.run(self._switch(name, config))

    async def switch_model_async(
        self, name: str, config: Mapping[str, Any] | None = None
    ) -> ModelObject:
        """Switch to another model, as ``switch_model`` does."""
        return await self._thread.awaited(self._switch(name, config))

    def list_models(self) -> list[ModelObject]:
        """Return the models in the folder as they are now, as GET /v1/models does."""
        return self._thread.run(self._list())

    async def list_models_async(self) -> list[ModelObject]:
        """Return the models in the folder, as ``list_models`` does."""
        return await self._thread.awaited(self._list())

    def model_info(self, name: str | None = None) -> ModelObject:
        """Return a model, or the current one, as GET /v1/models/{id} does.

        Raises:
            ModelNotFound: There is no such model, or none is named and none loaded.
        """
        return self._thread.run(self._info(name))

    async def model_info_async(self, name: str | None = None) -> ModelObject:
        """Return a model, as ``model_info`` does."""
        return await self._thread.awaited(self._info(name))

    # Answers ----------------------------------------------------------------------

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
            return ChunkStream(self._thread, _answer_of(said))
        return _answer_of(self._thread.run(self._answers.generate(model, body)))

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
        return _answer_of(
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
        return ChunkStream(self._thread, _answer_of(said))

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
        return AsyncChunkStream(self._thread, _answer_of(said))

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
        with progress_bar(len(made), is_shown=progress) as on_done:
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
        with progress_bar(len(made), is_shown=progress) as on_done:
            found = await self._thread.awaited(
                self._batch(model, made, max_parallel, on_done, return_errors)
            )
        return _answers_of(found)

    # Vectors and tokens -------------------------------------------------------------

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
        return cast("str", _answer_of(said))

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
        return cast("str", _answer_of(said))

    # The end ------------------------------------------------------------------------

    def close(self) -> None:
        """Unload all models and end the manager. Idempotent.

        The end of a ``with``, of the program, or of the last reference does the same.
        """
        self._finalizer()

    async def close_async(self) -> None:
        """Unload all models and end the manager, without holding up the event loop."""
        with suppress(LLMManagerError):
            await self._thread.awaited(self._models.aclose())
        self.close()

    # Their work, in the manager's thread --------------------------------------------

    async def _load(self, name: str, config: Mapping[str, Any] | None) -> ModelObject:
        return self._object(await self._models.load(name, config))

    async def _switch(self, name: str, config: Mapping[str, Any] | None) -> ModelObject:
        return self._object(await self._models.switch(name, config))

    async def _list(self) -> list[ModelObject]:
        models = await self._models.all()
        return [self._object(each) for each in models]

    async def _info(self, name: str | None) -> ModelObject:
        return self._object(await self._models.info(name))

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

    def _object(self, found: LoadedModel | LocalModel) -> ModelObject:
        return model_object(found, self._config)


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


def _tokenizing(
    content: str | None,
    messages: Sequence[Message] | None,
    parameters: Mapping[str, Any],
) -> dict[str, Any]:
    return {**parameters, "content": content, "messages": messages}


def _answer_of(said: Said) -> Any:
    """Return an answer; warn of what it goes without."""
    if said.left_out:
        warnings.warn(
            f"These mean nothing to the model and were left out: {said.left_out}.",
            LeftOutWarning,
            stacklevel=3,
        )
    return said.answer


def _answers_of(found: Sequence[Said | LLMManagerError]) -> list[Any]:
    return [each if isinstance(each, Exception) else _answer_of(each) for each in found]


def _close(thread: LoopThread, models: LoadedModels) -> None:
    """Unload all models and end the manager's thread."""
    thread.close(models.aclose())
