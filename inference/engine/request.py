"""What a client may ask of a loaded model: the requests, as plain data.

A web process makes a request, the transport carries it whole, and the engine reads
it: a new field is declared here and read where it is used. Text becomes token ids in
the worker, which has the vocabulary; it fills in the members named ``..._token_ids``.
"""

# The codec of the transport reads these annotations: their types are imported.

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from inference.engine.config.adapters import Adapters
from inference.engine.media.inputs import ImageInput, SoundInput
from inference.engine.media.spans import MediaSpan
from inference.engine.sampling.params import SamplingParams


def share_of(key: str, *, idle_only: bool) -> str:
    """Return the name of a key's share, or of its share while nobody else is here."""
    # No key has a blank.
    return f"{key} idle" if idle_only else key


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One sequence to generate.

    The prompt is ``prompt_token_ids`` or, where they are empty, the text ``prompt``,
    before which the tokenizer puts the model's BOS if ``add_special_tokens`` (a
    rendered chat template has its own). The answer goes between the prompt and the
    text ``suffix``, if there is one.

    ``resume`` are output tokens that an earlier worker has delivered: they are
    prefilled with the prompt and not returned again; ``fingerprint`` is that of the
    model that wrote them, the only one that may go on. ``prediction`` is what the
    client thinks the answer will be: drafts are taken from it. ``adapters`` are the
    LoRA adapters that it runs under.

    Cached prefixes are shared within an ``owner`` only, and between requests with the
    same ``adapters``. Capacity is shared fairly between API keys: ``key`` names one,
    ``weight`` is its share. Of one key's requests a lower ``priority`` goes first. One
    that is ``idle_only`` is computed only while there is none that is not, as under
    Linux' ``SCHED_IDLE``.

    ``media`` are the images of the prompt, in the order of the places where
    its text has the ``media_marker``, ``sounds`` those of the ``sound_marker``, which
    take some ``sound_tokens``. The worker makes ``media_spans`` of them.

    ``counts_prompt``: no other request counts the prompt already. The answers of one
    prompt count it once, and so do the workers that run it in turn.
    """

    request_id: str
    prompt_token_ids: list[int]
    params: SamplingParams
    resume: tuple[int, ...] = ()
    fingerprint: str = ""
    prediction_token_ids: tuple[int, ...] = ()
    adapters: Adapters = ()
    owner: str = ""
    key: str = ""
    weight: float = 1.0
    priority: int = 0
    idle_only: bool = False
    prompt: str = ""
    suffix: str = ""
    prediction: str = ""
    add_special_tokens: bool = True
    counts_prompt: bool = True
    media: tuple[ImageInput, ...] = ()
    media_marker: str = ""
    media_spans: tuple[MediaSpan, ...] = ()
    sounds: tuple[SoundInput, ...] = ()
    sound_marker: str = ""
    sound_tokens: int = 0

    @property
    def share(self) -> str:
        """Whose share it counts towards: what a key runs when idle is a share apart."""
        return share_of(self.key, idle_only=self.idle_only)

    @property
    def num_prompt(self) -> int:
        """Tokens of the prompt."""
        return len(self.prompt_token_ids)

    @property
    def num_audio(self) -> int:
        """Tokens of the prompt that are sounds."""
        spans = self.media_spans
        return sum(len(each.embeddings) for each in spans if each.is_sound)


@dataclass(frozen=True, slots=True)
class PoolingRequest:
    """Texts that each become a vector or, with a ``query``, a score for it.

    ``inputs`` are texts or token ids, ``paths`` what the client calls each of them in
    its request. ``key``, ``weight``, ``priority`` and ``idle_only`` are as in
    GenerationRequest.
    """

    request_id: str
    input_token_ids: tuple[list[int], ...]
    key: str = ""
    weight: float = 1.0
    priority: int = 0
    idle_only: bool = False
    inputs: tuple[str | list[int], ...] = ()
    paths: tuple[str, ...] = ()
    query: str | None = None

    @property
    def share(self) -> str:
        """Whose share it counts towards: what a key runs when idle is a share apart."""
        return share_of(self.key, idle_only=self.idle_only)

    @property
    def num_prompt(self) -> int:
        """Tokens of all inputs."""
        return sum(map(len, self.input_token_ids))


@dataclass(frozen=True, slots=True)
class TokenizationRequest:
    """A text whose tokens are requested.

    ``add_special_tokens`` puts those around it that the model wants,
    ``parse_special`` reads special tokens that the text spells out as such. ``media``
    are where the text has the ``media_marker``, ``sounds`` where it has the
    ``sound_marker``: their tokens are counted. ``key`` and ``weight`` are as in
    GenerationRequest.
    """

    priority: ClassVar[int] = 0
    idle_only: ClassVar[bool] = False

    request_id: str
    text: str
    add_special_tokens: bool = False
    parse_special: bool = True
    media: tuple[ImageInput, ...] = ()
    media_marker: str = ""
    sounds: tuple[SoundInput, ...] = ()
    sound_marker: str = ""
    key: str = ""
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class DetokenizationRequest:
    """Tokens whose text is requested; ``path`` is what the client calls them.

    ``key`` and ``weight`` are as in GenerationRequest.
    """

    priority: ClassVar[int] = 0
    idle_only: ClassVar[bool] = False

    request_id: str
    tokens: tuple[int, ...]
    path: str
    key: str = ""
    weight: float = 1.0


ComputeRequest = GenerationRequest | PoolingRequest
TokenizerRequest = TokenizationRequest | DetokenizationRequest
ModelRequest = ComputeRequest | TokenizerRequest
