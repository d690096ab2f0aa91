"""Which replicas have computed which beginnings of prompts, as far as is known."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from inference.transport.affinity.prefix_hashes import PrefixHashes

#: Beginnings that are remembered, some 20 MB in all; the least recently used go first.
_MAX_BEGINNINGS = 100_000
#: Replicas that are remembered for one: a beginning that many have needs no search.
_MAX_REPLICAS = 16


class KnownPrefixes:
    """The replicas, by incarnation, that have or had a prefix in their cache.

    What a replica has evicted since is not known here: a request that goes there for it
    is computed, as it would be elsewhere.
    """

    def __init__(self, *, max_beginnings: int = _MAX_BEGINNINGS) -> None:
        self._max = max_beginnings
        self._replicas: OrderedDict[int, tuple[str, ...]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._replicas)

    def put(self, replica: str, hashes: Iterable[int]) -> None:
        """Note that a replica has these beginnings."""
        for each in hashes:
            others = self._replicas.pop(each, ())
            kept = tuple(name for name in others if name != replica)
            self._replicas[each] = (*kept[1 - _MAX_REPLICAS :], replica)
        while len(self._replicas) > self._max:
            self._replicas.popitem(last=False)

    def shares(self, hashes: PrefixHashes, among: Container[str]) -> dict[str, float]:
        """Return the share of a prompt that each of these replicas has, if any."""
        found: dict[str, float] = {}
        for number, share in reversed(hashes):
            for replica in self._replicas.get(number, ()):
                if replica in among:
                    found.setdefault(replica, share)
        return found
