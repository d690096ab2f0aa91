"""How much prefill a step may carry beside running decodes."""

from __future__ import annotations

#: A step with prefill takes at most this multiple of a step without.
MAX_SLOWDOWN = 3.0
#: Below this a chunk costs more in overhead than it spares the decodes.
MIN_CHUNK = 16
#: Weight of the newest measurement in the running means.
_WEIGHT = 0.2


class PrefillPacer:
    """Chooses prefill chunks so that running streams keep their pace.

    It learns two means from the steps themselves: the seconds of a step that
    only decodes, and the seconds that a prefilled token adds. Until both are
    known a chunk is ``first_chunk`` tokens.
    """

    def __init__(self, first_chunk: int = 64) -> None:
        self._first_chunk = first_chunk
        self._decode_s: float | None = None
        self._prefill_token_s: float | None = None

    def chunk(self, num_decodes: int, budget: int) -> int:
        """Return how many tokens may be prefilled beside ``num_decodes`` decodes.

        Without decodes nobody waits, so the whole ``budget`` is free.
        """
        if num_decodes == 0:
            return budget
        if self._decode_s is None or self._prefill_token_s is None:
            return min(self._first_chunk, budget)
        extra_s = (MAX_SLOWDOWN - 1) * self._decode_s
        return min(max(int(extra_s / self._prefill_token_s), MIN_CHUNK), budget)

    def observe(self, num_decodes: int, num_prefill: int, seconds: float) -> None:
        """Learn from a step that took ``seconds``."""
        if num_prefill == 0:
            self._decode_s = _mean(self._decode_s, seconds)
            return
        decode_s = (self._decode_s or 0.0) if num_decodes else 0.0
        added = max(seconds - decode_s, 0.0)
        # A short prefill is mostly the fixed cost of a step, not its tokens'.
        if num_prefill >= MIN_CHUNK and added > 0:
            self._prefill_token_s = _mean(self._prefill_token_s, added / num_prefill)


def _mean(old: float | None, new: float) -> float:
    return new if old is None else old + _WEIGHT * (new - old)
