"""Characters that are the same but for their case.

They are, where Unicode's simple case folding makes one character of them (UTS 18,
RL1.5), as in Rust's regex crate: ``k`` is the sign of Kelvin, too.
"""

from __future__ import annotations

import sys
from bisect import bisect_left
from functools import cache
from itertools import permutations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: First and last code points of characters.
Ranges = list[tuple[int, int]]

#: Unicode 15.1 has these of CaseFolding.txt's status S, which ``str`` does not tell.
_FOLDED = {0x1FD3: 0x390, 0x1FE3: 0x3B0, 0xFB05: 0xFB06}
_SURROGATES = range(0xD800, 0xE000)
#: Characters that are looked at together: most of a million have no case.
_BLOCK = 256


def without_case(ranges: Ranges) -> Ranges:
    """Return characters, and the same in other cases that are not in their range."""
    cased, equals = _cased()
    found = list(ranges)
    for low, high in ranges:
        within = slice(bisect_left(cased, low), bisect_left(cased, high + 1))
        # Of a grammar's thousand classes each may have all that have a case.
        found += [(code, code) for code in equals[within] if not low <= code <= high]
    return found


@cache
def _cased() -> tuple[list[int], list[int]]:
    """Return the characters that have a case, in order, and of each an equal one.

    One that has two equals is there twice.
    """
    folded: dict[int, list[int]] = {}
    for code in _foldable():
        if (fold := _folded(chr(code))) != code:
            folded.setdefault(fold, [fold]).append(code)
    pairs = [pair for equals in folded.values() for pair in permutations(equals, 2)]
    pairs.sort()
    return [one for one, _ in pairs], [other for _, other in pairs]


def _foldable() -> Iterator[int]:
    """Yield the blocks of characters of which any has another case."""
    for start in range(0, sys.maxunicode + 1, _BLOCK):
        if start not in _SURROGATES:
            block = range(start, start + _BLOCK)
            text = "".join(map(chr, block))
            if text.casefold() != text:
                yield from block


def _folded(character: str) -> int:
    """Return the simple case folding: a few have only a full one, of more letters."""
    if ord(character) in _FOLDED:
        return _FOLDED[ord(character)]
    folded = character.casefold()
    if len(folded) > 1:
        folded = character.lower()
    return ord(folded if len(folded) == 1 else character)
