"""How long a request has taken, by what was done."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Durations:
    """Nanoseconds: in all; until its model began with it; of its prompt; of its answer.

    Waiting is for the model to be loaded, for its turn, and on the way there.
    """

    total_ns: int = 0
    waiting_ns: int = 0
    prompt_ns: int = 0
    answer_ns: int = 0
