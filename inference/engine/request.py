"""What the engine is asked to run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inference.engine.adapters import Adapters
    from inference.engine.sampling.params import SamplingParams


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One sequence to generate.

    ``resume`` are output tokens that an earlier worker has delivered: they are
    prefilled with the prompt and not returned again. ``prediction_token_ids`` is what
    the client thinks the answer will be: drafts are taken from it. Cached prefixes are
    shared within an ``owner`` only, and between requests with the same ``adapters``.
    Capacity is shared fairly between API keys: ``key`` names one, ``weight`` is its
    share. Of one key's requests a lower ``priority`` goes first.
    """

    request_id: str
    prompt_token_ids: list[int]
    params: SamplingParams
    resume: tuple[int, ...] = ()
    prediction_token_ids: tuple[int, ...] = ()
    adapters: Adapters = ()
    owner: str = ""
    key: str = ""
    weight: float = 1.0
    priority: int = 0

    @property
    def num_prompt(self) -> int:
        """Tokens of the prompt."""
        return len(self.prompt_token_ids)
