"""How far a model is loaded, for those who wait for it or are sent away meanwhile."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

#: Before this share of a load there is nothing to judge its speed by. A choice.
_LEAST_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """The share of a load that is done, and the seconds that are left of it.

    The rest is supposed to go as fast as what is done; None before that can be known.
    """

    share: float
    seconds_left: int | None

    @classmethod
    def after(cls, elapsed_s: float, share: float) -> Self:
        """Return the progress of a load that has taken ``elapsed_s`` so far."""
        if share < _LEAST_SHARE:
            return cls(share, None)
        left = max(elapsed_s, 0) * (1 - share) / share
        return cls(share, max(math.ceil(left), 1))

    def __str__(self) -> str:
        left = f", about {self.seconds_left} s are left" if self.seconds_left else ""
        return f"The model is being loaded: {self.share:.0%} is done{left}."
