"""What a step takes, learned from the steps themselves."""

from __future__ import annotations

#: A step with prefill takes at most this multiple of a step without.
MAX_SLOWDOWN = 2.5
#: Below this a chunk costs more in overhead than it spares the decodes.
MIN_CHUNK = 16
#: The chunk while nothing is known.
_FIRST_CHUNK = 64
#: What a measurement of the warm-up weighs beside one of a step.
_WARM_UP_WEIGHT = 4.0
#: What older steps weigh after one more: a memory of some fifty steps.
_DECAY = 0.98
#: Weight of the newest measurement in a running mean.
_NEWEST = 0.2


class StepTimes:
    """Seconds of a decode step by its sequences, and of a token of prefill.

    A decode of n sequences reads the weights once and does n sequences'
    arithmetic, so its time is fitted by a straight line: least squares over the
    newest decode steps and the warm-up, which has seen both ends of the line.
    """

    def __init__(self) -> None:
        self._warm_up = _Sums()
        self._steps = _Sums()
        self._prefill_token_s: float | None = None

    def calibrate(self, num_decodes: int, seconds: float) -> None:
        """Learn from a decode step of the warm-up; this is never forgotten."""
        self._warm_up.add(num_decodes, seconds, _WARM_UP_WEIGHT)

    def observe(self, num_decodes: int, num_prefill: int, seconds: float) -> None:
        """Learn from a step that took ``seconds``."""
        if num_prefill == 0:
            self._steps.decay(_DECAY)
            self._steps.add(num_decodes, seconds, 1.0)
            return
        beside = self.decode_s(num_decodes) or 0.0 if num_decodes else 0.0
        added = seconds - beside
        # A short prefill is mostly the fixed cost of a step, not its tokens'.
        if num_prefill >= MIN_CHUNK and added > 0:
            token_s = added / num_prefill
            old = self._prefill_token_s
            self._prefill_token_s = (
                token_s if old is None else old + _NEWEST * (token_s - old)
            )

    def decode_s(self, num_decodes: int) -> float | None:
        """Return the seconds of a step that decodes so many sequences, if known."""
        return self._warm_up.plus(self._steps).at(num_decodes)

    @property
    def knows_batches(self) -> bool:
        """Whether batches of different sizes have been seen."""
        return self._warm_up.plus(self._steps).has_slope

    def chunk(self, num_decodes: int, budget: int) -> int:
        """Return how many tokens may be prefilled beside ``num_decodes`` decodes.

        Without decodes nobody waits, so the whole ``budget`` is free.
        """
        if num_decodes == 0:
            return budget
        decode_s = self.decode_s(num_decodes)
        if decode_s is None or self._prefill_token_s is None:
            return min(_FIRST_CHUNK, budget)
        extra_s = (MAX_SLOWDOWN - 1) * decode_s
        return min(max(int(extra_s / self._prefill_token_s), MIN_CHUNK), budget)


class _Sums:
    """The sums that a least-squares line through (n, seconds) is made of."""

    def __init__(self, sums: tuple[float, ...] = (0.0,) * 5) -> None:
        self._sums = sums

    def add(self, n: float, seconds: float, weight: float) -> None:
        new = (1.0, n, n * n, seconds, n * seconds)
        self._sums = tuple(
            old + weight * value for old, value in zip(self._sums, new, strict=True)
        )

    def decay(self, factor: float) -> None:
        self._sums = tuple(factor * value for value in self._sums)

    def plus(self, other: _Sums) -> _Sums:
        both = zip(self._sums, other._sums, strict=True)
        return _Sums(tuple(a + b for a, b in both))

    @property
    def has_slope(self) -> bool:
        weight, n, nn, _, _ = self._sums
        return weight > 0 and nn / weight - (n / weight) ** 2 > 1e-6

    def at(self, n: float) -> float | None:
        """Return the line's value; between 0 and proportional, where it is unsure."""
        weight, sum_n, sum_nn, sum_s, sum_ns = self._sums
        if weight == 0:
            return None
        mean_n, mean_s = sum_n / weight, sum_s / weight
        if not self.has_slope:
            return mean_s
        slope = (sum_ns / weight - mean_n * mean_s) / (sum_nn / weight - mean_n**2)
        # Noise may tilt the line beyond what a step can be: never faster with
        # more sequences, never more than proportional to them.
        slope = min(max(slope, 0.0), mean_s / mean_n)
        return mean_s + slope * (n - mean_n)
