"""Conversations: who asks what, and when."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

#: Means, in tokens, but for the turns of a conversation and the seconds between them.
_TURNS = 4
_PAUSE_S = 5.0
_SYSTEM = 100
_USER = 60
MEAN_ANSWER = 32
#: Keys of a model: each has a system prompt that its conversations share.
_KEYS = 20
#: Above the tokens of answers, which are all the letter a.
_VOCABULARY = (1_000, 30_000)


@dataclass(slots=True)
class Conversation:
    """A model's conversation: its tokens so far, and how many turns are to come."""

    model: int
    key: int
    turns: int
    tokens: list[int] = field(default_factory=list)


class Traffic:
    """Draws conversations by a seed. Each node's model gets as many as another's."""

    def __init__(self, *, nodes: int, replicas: int, seed: int) -> None:
        self._random = random.Random(seed)
        self._nodes = nodes
        self._replicas = replicas
        self._systems: dict[tuple[int, int], list[int]] = {}

    @property
    def requests_of_conversation(self) -> float:
        """The mean number of a conversation's turns."""
        return _TURNS

    def begin(self) -> Conversation:
        """Return a new conversation of a random model and key."""
        model = self._random.randrange(self._nodes) // self._replicas
        key = self._random.randrange(_KEYS)
        turns = 1 + min(int(self._random.expovariate(1 / (_TURNS - 1)) + 0.5), 12)
        system = self._systems.setdefault((model, key), self._tokens(_SYSTEM))
        return Conversation(model, key, turns, list(system))

    def ask(self, conversation: Conversation) -> int:
        """Add what the user says; return the length of the answer, in tokens."""
        conversation.turns -= 1
        conversation.tokens += self._tokens(self._length(_USER))
        return self._length(MEAN_ANSWER)

    def pause_s(self) -> float:
        """Return how long a user reads and writes."""
        return self._random.expovariate(1 / _PAUSE_S)

    def gap_s(self, per_s: float) -> float:
        """Return the time to the next event of so many a second."""
        return self._random.expovariate(per_s)

    def place(self, count: int) -> int:
        """Return one of so many places, each as likely."""
        return self._random.randrange(count)

    def _length(self, mean: int) -> int:
        return max(1, min(int(self._random.expovariate(1 / mean)), 4 * mean))

    def _tokens(self, count: int) -> list[int]:
        return [self._random.randrange(*_VOCABULARY) for _ in range(count)]
