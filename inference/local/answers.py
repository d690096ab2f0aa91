"""Answers a program's requests with the code of the HTTP API.

A request becomes a body as a client would send it; it is checked, rendered, run, parsed
and answered by the same functions.
"""

from __future__ import annotations

import asyncio
import json
import math
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from inference.api.chat.prepare import prepare_chat
from inference.api.chat.request import ChatCompletionRequest
from inference.api.completions.prepare import prepare_completion
from inference.api.completions.request import CompletionRequest
from inference.api.embeddings.prepare import prepare_embedding
from inference.api.embeddings.request import EmbeddingRequest
from inference.api.errors import BadRequest
from inference.api.left_out import LeftOut
from inference.api.media.reading import read_media
from inference.api.preparing.abilities import EMBEDS, RANKS, WRITES, require
from inference.api.preparing.caller import Caller
from inference.api.rerank.prepare import prepare_ranking
from inference.api.rerank.request import RerankRequest
from inference.api.streaming.collecting import collect, in_words_of, pieces
from inference.api.streaming.generation import Generation
from inference.api.tokens.prepare import prepare_tokenizing, rendered
from inference.api.tokens.request import ApplyTemplateRequest, TokenizeRequest
from inference.api.tokens.response import token_list
from inference.errors import RequestRejected
from inference.transport.queue import ModelQueue
from llm_manager.config.in_force import using

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        Callable,
        Iterable,
        Mapping,
        Sequence,
    )

    from inference.api.preparing.abilities import Ability
    from inference.api.preparing.completion import PreparedCompletion
    from inference.api.rerank.response import Ranking
    from inference.api.streaming.generation import Numbered
    from inference.api.streaming.token_counts import Progress
    from inference.api.tokens.response import TokenList
    from inference.engine.request import ModelRequest
    from inference.local.loaded_models import LoadedModel, LoadedModels
    from inference.transport.messages.events import Event
    from llm_manager.config.schema import Config

_T = TypeVar("_T")

#: Prefixes are shared by all requests of the program.
_CALLER = Caller(key="python", owner="python")
_DATA = b"data: "
_DONE = b"data: [DONE]"


class _NoMeter:
    """Measures nothing."""

    def observe(self, events: Iterable[Numbered], *, n: int) -> None:
        """Take events."""

    def counts(self, progress: Progress) -> None:
        """Take what counts tokens."""


@dataclass(frozen=True, slots=True)
class Said:
    """An answer, and the paths of what it goes without; "" if of nothing."""

    answer: Any
    left_out: str


class Answers:
    """Runs requests on loaded models. All runs in one event loop."""

    def __init__(self, models: LoadedModels, config: Config) -> None:
        self._models = models
        self._config = config

    async def generate(self, name: str | None, body: Mapping[str, Any]) -> Said:
        """Return the answer to a chat or to prompts, as the HTTP API returns it."""
        loaded, prepared, left_out = await self._prepare_completion(name, body)
        generation = Generation()
        try:
            await self._start(generation, loaded, prepared.requests)
            answer = await collect(
                generation, prepared.format, _limits(prepared), _NoMeter()
            )
        except RequestRejected as error:
            raise in_words_of(prepared.format, error) from None
        finally:
            await generation.aclose()
        return Said(answer, left_out)

    async def stream(self, name: str | None, body: Mapping[str, Any]) -> Said:
        """Return an answer that is an async generator of chunks, some at a time."""
        loaded, prepared, left_out = await self._prepare_completion(name, body)
        return Said(self._chunks(loaded, prepared), left_out)

    async def _chunks(
        self, loaded: LoadedModel, prepared: PreparedCompletion
    ) -> AsyncGenerator[list[Any], None]:
        generation = Generation()
        try:
            await self._start(generation, loaded, prepared.requests)
            events = pieces(generation, prepared.format, _limits(prepared), _NoMeter())
            async with aclosing(events):
                async for piece in events:
                    if chunks := _decoded(piece):
                        yield chunks
        except RequestRejected as error:
            raise in_words_of(prepared.format, error) from None
        finally:
            await generation.aclose()

    async def embed(self, name: str | None, body: Mapping[str, Any]) -> Any:
        """Return an EmbeddingList."""
        loaded = await self._models.choose(name, EMBEDS)
        request = _json(body, loaded, name)
        prepared = await self._in_thread(
            lambda: prepare_embedding(
                EmbeddingRequest.parse(request), _finder(loaded, EMBEDS), _CALLER
            )
        )
        events = await self._run(loaded, prepared.requests)
        return json.loads(await prepared.answer(events))

    async def rerank(self, name: str | None, body: Mapping[str, Any]) -> Ranking:
        """Return a Ranking."""
        loaded = await self._models.choose(name, RANKS)
        request = _json(body, loaded, name)
        prepared = await self._in_thread(
            lambda: prepare_ranking(
                RerankRequest.parse(request), _finder(loaded, RANKS), _CALLER
            )
        )
        return prepared.answer(await self._run(loaded, prepared.requests))

    async def tokenize(self, name: str | None, body: Mapping[str, Any]) -> TokenList:
        """Return the tokens of a text or of a conversation."""
        loaded = await self._models.choose(name, None)
        request = _json(body, loaded, name)

        def prepare() -> tuple[ModelRequest, bool]:
            parsed = TokenizeRequest.parse(request)
            made = prepare_tokenizing(parsed, loaded.model, LeftOut())
            return made, parsed.with_pieces

        made, with_pieces = await self._in_thread(prepare)
        ((*_, last),) = await self._run(loaded, [made])
        return token_list(last, with_pieces=with_pieces)  # type: ignore[arg-type]

    async def apply_template(self, name: str | None, body: Mapping[str, Any]) -> Said:
        """Return the prompt of a conversation."""
        loaded = await self._models.choose(name, WRITES)
        request = _json(body, loaded, name)
        left_out = LeftOut()

        def prepare() -> str:
            parsed = ApplyTemplateRequest.parse(request)
            require(loaded.model, WRITES)
            return rendered(parsed, parsed.messages, loaded.model, left_out).text

        text = await self._in_thread(prepare)
        return Said(text, left_out.header())

    async def _prepare_completion(
        self, name: str | None, body: Mapping[str, Any]
    ) -> tuple[LoadedModel, PreparedCompletion, str]:
        loaded = await self._models.choose(name, WRITES)
        request = _json(body, loaded, name)
        find, left_out = _finder(loaded, WRITES), LeftOut()

        def prepare() -> PreparedCompletion:
            if "prompt" in request:
                parsed = CompletionRequest.parse(request)
                return prepare_completion(parsed, find, _CALLER, left_out)
            chat = ChatCompletionRequest.parse(request)
            return prepare_chat(chat, find, _CALLER, left_out)

        prepared = await self._in_thread(prepare)
        with using(self._config):
            media = await read_media(prepared.media, "")
        return loaded, prepared.with_media(media), left_out.header()

    async def _in_thread(self, call: Callable[[], _T]) -> _T:
        """Call it in a thread, with the manager's configuration."""

        def with_config() -> _T:
            with using(self._config):
                return call()

        return await asyncio.to_thread(with_config)

    async def _run(
        self, loaded: LoadedModel, requests: Sequence[ModelRequest]
    ) -> list[list[Event]]:
        """Return the events of each request. Raises InferenceError."""
        events: list[list[Event]] = [[] for _ in requests]
        generation = Generation()
        try:
            await self._start(generation, loaded, requests)
            while not generation.is_done:
                for index, event in await generation.events():
                    events[index].append(event)
        finally:
            await generation.aclose()
        return events

    async def _start(
        self,
        generation: Generation,
        loaded: LoadedModel,
        requests: Sequence[ModelRequest],
    ) -> None:
        queue = ModelQueue(0, loaded.model.name, math.inf)
        await generation.start(loaded.worker.client, requests, queue)


def _limits(prepared: PreparedCompletion) -> Any:
    return prepared.limits(math.inf, math.inf)


def _finder(loaded: LoadedModel, ability: Ability) -> Callable[[str], Any]:
    def find(_: str) -> Any:
        require(loaded.model, ability)
        return loaded.model

    return find


def _json(
    body: Mapping[str, Any], loaded: LoadedModel, name: str | None
) -> dict[str, Any]:
    """Return the body as a client would send it. Raises BadRequest.

    A name with an adapter stays: it chooses the adapter.
    """
    model = name if name in loaded.names else loaded.model.name
    try:
        text = json.dumps({**body, "model": model})
    except (TypeError, ValueError) as error:
        raise BadRequest(f"A parameter is no JSON: {error}.") from None
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def _decoded(piece: bytes) -> list[Any]:
    """Return the chunks of some server-sent events."""
    return [
        json.loads(event.removeprefix(_DATA))
        for event in piece.split(b"\n\n")
        if event.startswith(_DATA) and event != _DONE
    ]
