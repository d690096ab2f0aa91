"""What prompts of heavy keys may take of a light key's time."""

from __future__ import annotations

#: In all, decodes and prompts of heavy keys take at most this multiple of what light
#: keys' own parts of steps take. Their decodes alone take less (``MAX_INTERFERENCE``),
#: so something is always left for prompts.
_SHARE = 1.0


class PromptAllowance:
    """An account of seconds: the steps of light keys add to it, heavy keys draw on it.

    Prompts of heavy keys are computed while something is on it, in pieces as long as
    those beside any stream, and may overdraw it: long pieces now and then cost less
    than short ones in each step. Nothing is saved up, neither during a light key's stay
    nor before it, so its first step has no prompts of others.
    """

    def __init__(self) -> None:
        self._seconds = 0.0
        self._has_light = False

    def begin(self, *, has_light: bool) -> None:
        """Note whether the next step has sequences of light keys."""
        if has_light and not self._has_light:
            self._seconds = 0.0
        self._has_light = has_light

    @property
    def is_open(self) -> bool:
        """Whether the step may have prompts of heavy keys."""
        return not self._has_light or self._seconds > 0

    def count(self, light_s: float, heavy_s: float) -> None:
        """Count what the parts of a step take that has light keys."""
        earned_s = _SHARE * light_s
        self._seconds = min(self._seconds + earned_s - heavy_s, earned_s)
