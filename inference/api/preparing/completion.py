"""Makes the engine's requests of a request for text, and the format of its answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from inference.api.parameters.effective_sampling import sampling_params
from inference.api.parameters.lora import adapters_of, served_name
from inference.api.streaming.collecting import AnswerLimits
from inference.api.streaming.payloads import AnswerHeader
from inference.engine.media.inputs import ImageInput, SoundInput
from inference.engine.request import GenerationRequest
from inference.transport.stream import new_request_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inference.api.media.marks import MarkedPart
    from inference.api.parameters.completion import CompletionParameters
    from inference.api.preparing.caller import Caller
    from inference.api.streaming.formats import AnswerFormat
    from inference.engine.media.inputs import MediaInput
    from registry.model_facts import ModelFacts


@dataclass(frozen=True, slots=True)
class PreparedCompletion:
    """The generation requests of a request, and the format of its answer.

    ``media``, images and sounds, are yet to be read, once the limits let the request
    in: until then the requests have marks in their place.
    """

    requests: list[GenerationRequest]
    format: AnswerFormat
    body: CompletionParameters
    media: tuple[MarkedPart, ...] = ()

    def renamed(self, own: Callable[[str], str]) -> PreparedCompletion:
        """Return the same with the paths of media in the request's own words."""
        media = tuple(replace(each, path=own(each.path)) for each in self.media)
        return replace(self, media=media)

    def with_media(self, media: tuple[MediaInput, ...]) -> PreparedCompletion:
        """Return the same with its media, which were read."""
        images = tuple(each for each in media if isinstance(each, ImageInput))
        sounds = tuple(each for each in media if isinstance(each, SoundInput))
        requests = [
            replace(each, media=images, sounds=sounds) for each in self.requests
        ]
        return replace(self, requests=requests, media=())

    def limits(self, timeout_s: float, deadline: float) -> AnswerLimits:
        """Return the limits of the answer; ``deadline`` is the event loop's time."""
        body = self.body
        best = body.n if body.num_sequences > body.n else 0
        return AnswerLimits(body.num_sequences, timeout_s, deadline, best)


def answer_header(
    prefix: str, model: ModelFacts, body: CompletionParameters
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
    caller: Caller,
    body: CompletionParameters,
    *,
    model: ModelFacts,
    sampling: dict[str, Any],
    max_tokens: int | None,
    add_special_tokens: bool,
    suffix: str = "",
    echo: bool = False,
    media_marker: str = "",
    sound_marker: str = "",
    sound_tokens: int = 0,
) -> list[GenerationRequest]:
    """Return the generation requests, those of each prompt together.

    Images belong where a prompt has the ``media_marker``, sounds where it has the
    ``sound_marker``; these take some ``sound_tokens``.
    """
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
            owner=caller.owner,
            key=caller.key,
            weight=caller.weight,
            priority=body.priority,
            idle_only=caller.idle_only,
            counts_prompt=choice == 0,
            media_marker=media_marker,
            sound_marker=sound_marker,
            sound_tokens=sound_tokens,
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
