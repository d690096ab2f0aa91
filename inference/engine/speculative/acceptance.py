"""How often drafts are right."""

from __future__ import annotations

#: Where nothing is known yet, drafts are taken to be good: a wrong one costs less
#: than never to find out.
_UNKNOWN = 0.8
#: Weight of the newest token in the mean.
_NEWEST = 0.15
#: How fast a sequence that stopped drafting comes to try again.
_FORGETTING = 0.01


class Acceptance:
    """The share of drafted tokens that are right: a running mean."""

    def __init__(self, rate: float = _UNKNOWN) -> None:
        self.rate = rate

    def observe(self, drafted: int, accepted: int) -> None:
        """Learn from a draft; a wrong token hides whether those after it were right."""
        for is_right in [True] * accepted + [False] * (accepted < drafted):
            self.rate += _NEWEST * (is_right - self.rate)

    def rest(self) -> None:
        """Forget a little: a draft was possible and was not made."""
        self.rate += _FORGETTING * (_UNKNOWN - self.rate)
