"""Texts of a wanted length that no cache has seen before."""

from __future__ import annotations

import random

#: Each is one token of the sample model with a space in front of it.
WORDS = """
time year people way day man thing woman life child world school state family student
group country problem hand part place case week company system program question work
government number night point home water room mother area money story fact month lot
right study book eye job word business issue side kind head house service friend
father power hour game line end member law car city name president team minute idea
body information back parent face others level office door health person art war
history party result change morning reason research
""".split()  # noqa: SIM905 - a hundred quotes would hide them


def text(tokens: int, salt: str) -> str:
    """Return about this many tokens of words; another salt, other words.

    The salt comes first, so that two texts differ from their beginning on.
    """
    # A salt is a few letters and digits, most of them tokens of their own.
    choices = random.Random(salt).choices(WORDS, k=max(tokens - len(salt), 1))
    return " ".join([salt, *choices])
