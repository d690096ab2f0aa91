"""The base of the views that generate text: chats and text completions."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings

from accounts.usage.recorder import usage_recorder
from inference.api.idempotency import logging_client
from inference.api.model_access import key_of, key_share
from inference.api.parameters.effective_sampling import sampling_params
from inference.api.parameters.lora import adapters_of, served_name
from inference.api.responses import EventStreamResponse, json_response
from inference.api.streaming import collecting as streaming
from inference.api.streaming.collecting import AnswerLimits
from inference.api.streaming.generation import Generation
from inference.api.streaming.payloads import AnswerHeader
from inference.api.streaming.usage import counts_of_events
from inference.api.worker_view import WorkerView
from inference.engine.request import GenerationRequest
from inference.errors import RequestRejected
from inference.transport.stream import new_request_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from inference.api.parameters.completion import CompletionParameters
    from inference.api.streaming.formats import AnyFormat
    from inference.engine.request import ModelRequest
    from inference.transport.queue import ModelQueue
    from registry.models import Model


@dataclass(frozen=True, slots=True)
class PreparedCompletion:
    """The generation requests of a request, and the format of its answer."""

    requests: list[GenerationRequest]
    queue: ModelQueue
    format: AnyFormat
    body: CompletionParameters


class GenerationView(WorkerView):
    """What chats and text completions have in common."""

    def model_requests(self, prepared: PreparedCompletion) -> Sequence[ModelRequest]:
        """Return the sequences."""
        return prepared.requests

    async def run(self, prepared: PreparedCompletion) -> HttpResponseBase:
        """Run the requests and return the answer, whole or as a stream."""
        timeout_s = settings.CONFIG.server.request_timeout
        deadline = asyncio.get_running_loop().time() + timeout_s
        body = prepared.body
        best = body.n if body.num_sequences > body.n else 0
        limits = AnswerLimits(body.num_sequences, timeout_s, deadline, best)
        generation = Generation()
        is_streaming = False
        try:
            # The limit applies to the whole answer, including requests not yet queued.
            async with asyncio.timeout_at(deadline):
                client, known = await logging_client(
                    self.get_client(),
                    self.request,
                    body,
                    sequences=len(prepared.requests),
                    before_save=usage_recorder.note_progress,
                )
                self.recording.replays(counts_of_events(known, n=limits.n))
                self.recording.accept(is_stream=body.stream)
                self.charge.run()
                await generation.start(client, prepared.requests, prepared.queue)
                if not body.stream:
                    answer = await streaming.collect(
                        generation, prepared.format, limits, self.recording
                    )
                    return json_response(answer)
                is_started = await generation.started(streaming.FIRST_SIGN_S)
            is_streaming = True
        except TimeoutError:
            raise streaming.timed_out(limits) from None
        except RequestRejected as error:
            raise streaming.in_words_of(prepared.format, error) from None
        finally:
            if not is_streaming:
                await generation.aclose()
        # From here on the stream closes the generation.
        return EventStreamResponse(
            streaming.stream(
                generation,
                prepared.format,
                limits,
                self.recording,
                is_started=is_started,
                settle=self.settle,
            )
        )


def answer_header(
    prefix: str, model: Model, body: CompletionParameters
) -> AnswerHeader:
    """Return the header of every answer and chunk."""
    name = served_name(model, body.model)
    return AnswerHeader.new(
        prefix,
        model=name,
        fingerprint=model.fingerprint,
        is_deterministic=model.setting_in_force("deterministic"),
    )


def generation_requests(
    prompts: Sequence[str | list[int]],
    request: Request,
    body: CompletionParameters,
    *,
    model: Model,
    sampling: dict[str, Any],
    max_tokens: int | None,
    add_special_tokens: bool,
    suffix: str = "",
    echo: bool = False,
) -> list[GenerationRequest]:
    """Return the generation requests, those of each prompt together."""
    key = key_of(request)
    # Without a key there is no owner to share prefixes with.
    owner = "" if key is None else str(key.owner_id)
    share = key_share(request)
    adapters = adapters_of(model, body.model, body.lora)
    return [
        GenerationRequest(
            request_id=new_request_id(),
            prompt=prompt if isinstance(prompt, str) else "",
            prompt_token_ids=[] if isinstance(prompt, str) else prompt,
            params=sampling_params(
                sampling,
                model=model,
                max_tokens=max_tokens,
                choice=choice,
                logprobs=_logprobs(body),
                prompt_logprobs=_prompt_logprobs(prompt, body) if echo else None,
            ),
            add_special_tokens=add_special_tokens,
            suffix=suffix,
            prediction=body.predicted_text,
            adapters=adapters,
            owner=owner,
            key=share.key,
            weight=share.weight,
            priority=body.priority,
            counts_prompt=choice == 0,
        )
        for prompt in prompts
        for choice in range(body.num_sequences)
    ]


def _logprobs(body: CompletionParameters) -> int | None:
    """Return how many logprobs to request; ``best_of`` needs the sampled token's."""
    if body.num_logprobs is None and body.num_sequences > body.n:
        return 0
    return body.num_logprobs


def _prompt_logprobs(prompt: str | list[int], body: CompletionParameters) -> int | None:
    """Return how many logprobs to request of a prompt that is echoed.

    They also carry the text of a prompt of token ids, which only a worker knows.
    """
    if body.num_logprobs is None and isinstance(prompt, list):
        return 0
    return body.num_logprobs
