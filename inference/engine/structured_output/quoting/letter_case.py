"""Characters that are the same but for their case.

They are, where Unicode's simple case folding makes one character of them (UTS 18,
RL1.5), as in Rust's regex crate: ``k`` is the sign of Kelvin, too.
"""

from __future__ import annotations

import sys
from bisect import bisect_left
from functools import cache

#: First and last code points of characters.
Ranges = list[tuple[int, int]]

#: Unicode 15.1 has these of CaseFolding.txt's status S, which ``str`` does not tell.
_FOLDED = {0x1FD3: 0x390, 0x1FE3: 0x3B0, 0xFB05: 0xFB06}
_SURROGATES = range(0xD800, 0xE000)


def without_case(ranges: Ranges) -> Ranges:
    """Return characters, and the same in other cases."""
    cased, others = _cased()
    found = list(ranges)
    for low, high in ranges:
        for at in range(bisect_left(cased, low), bisect_left(cased, high + 1)):
            found += [(code, code) for code in others[cased[at]]]
    return found


@cache
def _cased() -> tuple[list[int], dict[int, list[int]]]:
    """Return the characters that have a case, in order, each with its equals."""
    folded: dict[int, list[int]] = {}
    for code in range(sys.maxunicode + 1):
        if code not in _SURROGATES and (fold := _folded(chr(code))) != code:
            folded.setdefault(fold, [fold]).append(code)
    others = {
        code: [each for each in equals if each != code]
        for equals in folded.values()
        for code in equals
    }
    return sorted(others), others


def _folded(character: str) -> int:
    """Return the simple case folding: a few have only a full one, of more letters."""
    if ord(character) in _FOLDED:
        return _FOLDED[ord(character)]
    folded = character.casefold()
    if len(folded) > 1:
        folded = character.lower()
    return ord(folded if len(folded) == 1 else character)
