"""Estimates how often drafted tokens are right."""

from __future__ import annotations

#: The initial rate is optimistic: a wrong draft costs less than never trying one.
_UNKNOWN = 0.8
#: The weight of the newest token in the mean.
_NEWEST = 0.15
#: How fast a sequence that stopped drafting approaches another try.
_FORGETTING = 0.01


class Acceptance:
    """The share of drafted tokens that are right: a running mean."""

    def __init__(self, rate: float = _UNKNOWN) -> None:
        self.rate = rate

    def observe(self, drafted: int, accepted: int) -> None:
        """Count a draft; tokens after the first wrong one do not count."""
        for is_right in [True] * accepted + [False] * (accepted < drafted):
            self.rate += _NEWEST * (is_right - self.rate)

    def rest(self) -> None:
        """Move towards the initial rate: a draft was possible but was not made."""
        self.rate += _FORGETTING * (_UNKNOWN - self.rate)
